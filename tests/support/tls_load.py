"""A program: clients of the ingress over TLS that trust one root and look at every certificate.

`python -m tests.support.tls_load ADDRESS ROOT.pem CLIENTS HOST...`: half of the clients make a new
connection for each request, the others keep theirs. It ends with its standard input, and then
prints as JSON how many `requests` were answered with 200, how many `handshakes` there were, the
`serials` that were seen, and what else became of requests, by what it was. OpenSSL holds every
certificate to ROOT, the name and the clock: one that has expired is a failed handshake.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from typing import Any

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PATIENCE = 10.0  # seconds that anything may take
PAUSE = 0.02  # seconds between two requests of a client


class Load:
    """Clients until `over` is set."""

    def __init__(self, address: str, root: str, hosts: list[str]) -> None:
        self._address, self._hosts = address, hosts
        self._context = ssl.create_default_context(cafile=root)
        self.over = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.serials: set[str] = set()

    async def client(self, number: int) -> None:
        """The last request is on a new connection: it sees the latest certificate."""
        host, keeps = self._hosts[number % len(self._hosts)], number % 2 == 0
        streams: Streams | None = None
        while not self.over.is_set():
            streams = await self._once(host, streams, keeps)
            await asyncio.sleep(PAUSE)
        if streams is not None:
            streams[1].close()
        await self._once(host, None, keeps=False)

    async def _once(self, host: str, streams: Streams | None, keeps: bool) -> Streams | None:
        """One request; the connection, if it is kept."""
        try:
            async with asyncio.timeout(PATIENCE):
                streams = streams or await self._connect(host)
                self._note(await _ask(*streams, host))
                if keeps:
                    return streams
        except (OSError, EOFError, TimeoutError) as error:
            self.failures[f"{type(error).__name__}: {error}"] += 1
        if streams is not None:
            streams[1].close()
        return None

    def _note(self, status: str) -> None:
        if status == "200":
            self.counts["requests"] += 1
        else:
            self.failures[status] += 1

    async def _connect(self, host: str) -> Streams:
        reader, writer = await asyncio.open_connection(
            self._address, 443, ssl=self._context, server_hostname=host
        )
        certificate: dict[str, Any] = writer.get_extra_info("peercert")
        self.serials.add(certificate["serialNumber"].lower().lstrip("0"))
        self.counts["handshakes"] += 1
        return reader, writer


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    """The status of the answer to one request."""
    writer.write(f"GET /v1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return head.split()[1]


async def main(address: str, root: str, clients: str, *hosts: str) -> None:
    load = Load(address, root, [*hosts])
    tasks = [asyncio.create_task(load.client(number)) for number in range(int(clients))]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    load.over.set()
    await asyncio.gather(*tasks)
    report = {**load.counts, "serials": sorted(load.serials), "failures": load.failures}
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
