"""A program: many askers at once: `python -m tests.support.many_askers SERVER NAME COUNT`.

Each has a socket of its own. Prints one JSON list: for each asker the rcode, its addresses and how
long it waited (seconds); null for one without an answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dnslib import DNSRecord

_WITHIN = 30.0


class _Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if not self.reply.done():
            self.reply.set_result(data)


async def ask(server: str, name: str) -> tuple[int, list[str], float] | None:
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_datagram_endpoint(_Asker, remote_addr=(server, 53))
    began = time.monotonic()
    try:
        transport.sendto(DNSRecord.question(name).pack())
        reply = DNSRecord.parse(await asyncio.wait_for(asker.reply, _WITHIN))
    except TimeoutError:
        return None
    finally:
        transport.close()
    addresses = [str(each.rdata) for each in reply.rr]
    return reply.header.rcode, addresses, time.monotonic() - began


async def main(server: str, name: str, count: int) -> None:
    print(json.dumps(await asyncio.gather(*(ask(server, name) for _ in range(count)))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
