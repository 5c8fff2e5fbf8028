"""Web servers in the workloads of a private host, and clients of its ingress.

`python -m tests.support.web serve web:8080 api:443:FILE` answers HTTP in these namespaces, over TLS
where a certificate with its key is given: a request with who answered and what was asked; after
`Upgrade` it echoes. `... load ADDRESS:PORT CLIENTS
TUNNELS HOST...` sends requests over kept connections and bytes through tunnels until its stdin
ends, and then prints what became of them as JSON; over TLS to port 443. CLIENTS may be `20@5`: at
most five requests a second each.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

from .machine import Machine
from .namespaces import socket_in
from .process import Process

UPGRADE = "Connection: Upgrade\r\nUpgrade: echo\r\n"
PAUSE = 0.005  # seconds between two requests of a client
PATIENCE = 60.0  # seconds that any answer may take


# ---- servers ------------------------------------------------------------------------------------


async def serve(places: list[str]) -> None:
    """Serve until stdin ends; prints "ready" once everything listens."""
    for place in places:
        where, port, *certificate = place.split(":")
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate[0])
        listener = socket_in(where, socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", int(port)))
        await asyncio.start_server(_answering(where), sock=listener, backlog=512, ssl=context)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _answering(name: str) -> Any:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if "\r\nupgrade:" in head.lower():
                    writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}\r\n".encode())
                    await _echo(reader, writer)
                    break
                body = f"{name}\n{head}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    return answer


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)


# ---- clients ------------------------------------------------------------------------------------


class Load:
    """Requests and tunnels until `over` is set. `report` counts answers by status, and failures."""

    def __init__(self, address: str, hosts: list[str], pause: float) -> None:
        self._host, _, self._port = address.partition(":")
        self._hosts, self._pause = hosts, pause
        self._tls = _trusting() if self._port == "443" else None
        self._over = asyncio.Event()
        self.report: Counter[str] = Counter()

    async def run(self, clients: int, tunnels: int) -> None:
        open_tunnels = [await self._open_tunnel() for _ in range(tunnels)]
        tasks = [asyncio.create_task(self._ask(number)) for number in range(clients)]
        tasks += [asyncio.create_task(self._talk(*each)) for each in open_tunnels]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        self._over.set()
        await asyncio.gather(*tasks)

    async def _ask(self, number: int) -> None:
        host = self._hosts[number % len(self._hosts)]
        request = f"GET /{number} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        streams, is_kept = None, False
        while not self._over.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    streams = streams or await self._connect(host)
                    status, closes = await _exchange(*streams, request)
                self.report[status] += 1
                is_kept = True
            except (OSError, EOFError, TimeoutError) as error:
                # A connection may be closed at the moment when it is used again: then every client
                # asks anew (RFC 9112, section 9.3.1).
                ended = isinstance(error, EOFError | ConnectionResetError | BrokenPipeError)
                kind = "asked again" if is_kept and ended else f"failed: {type(error).__name__}"
                self.report[kind] += 1
                closes = True
            if closes and streams is not None:
                streams[1].close()
                streams, is_kept = None, False
            await asyncio.sleep(self._pause)
        if streams is not None:
            streams[1].close()

    async def _connect(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = None if self._tls is None else host
        return await asyncio.open_connection(
            self._host, int(self._port), ssl=self._tls, server_hostname=name
        )

    async def _open_tunnel(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        writer.write(f"GET / HTTP/1.1\r\nHost: {self._hosts[0]}\r\n{UPGRADE}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return reader, writer

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                is_last = self._over.is_set()
                writer.write(b"hello")
                async with asyncio.timeout(PATIENCE):
                    await reader.readexactly(5)
                if is_last:
                    break
                await asyncio.sleep(0.05)
            self.report["tunnels"] += 1
        except (OSError, EOFError, TimeoutError) as error:
            self.report[f"tunnel failed: {type(error).__name__}"] += 1
        writer.close()


def _trusting() -> ssl.SSLContext:
    """TLS with anybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[str, bool]:
    """The status of an answer, and whether the connection ends with it."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return head.split()[1], "\r\nconnection: close" in head


# ---- from outside -------------------------------------------------------------------------------


class Web:
    """One of these programs in a private host."""

    def __init__(self, machine: Machine, *arguments: str, where: str = "host") -> None:
        self._process: Process = machine.start(
            *machine.python("-m", "tests.support.web", *arguments),
            where=where,
            stdin=-1,
            stdout=-1,
        )
        assert self._process.stdout.readline() == "ready\n", f"{arguments} did not come up"

    def stop(self) -> dict[str, int]:
        """End it; what a load has to report."""
        self._process.stdin.close()
        said = self._process.stdout.read()
        self._process.wait()
        report: dict[str, int] = json.loads(said) if said else {}
        return report


def get(
    machine: Machine, host: str, path: str = "/", port: int = 80, where: str = "outside"
) -> str:
    """The answer to one request for `host`, head and body, asked from `where`."""
    asked = ("-si", "--max-time", "10", "-H", f"Host: {host}", f"http://192.0.2.1:{port}{path}")
    return machine.run("curl", *asked, where=where, check=False).stdout


def get_tls(machine: Machine, host: str, path: str = "/") -> tuple[int, str]:
    """The same over TLS: curl's exit status and the answer. Certificates are not verified."""
    asked = ("-sik", "--max-time", "10", "--connect-to", "::192.0.2.1:443", f"https://{host}{path}")
    done = machine.run("curl", *asked, where="outside", check=False)
    return done.returncode, done.stdout


async def _main(what: str, *arguments: str) -> None:
    if what == "serve":
        await serve([*arguments])
    else:
        address, clients, tunnels, *hosts = arguments
        count, _, rate = clients.partition("@")
        load = Load(address, hosts, 1 / float(rate) if rate else PAUSE)
        await load.run(int(count), int(tunnels))
        print(json.dumps(load.report), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
