"""A crowd of clients that connect, ask once, and then only stay.

`python -m tests.support.crowd ADDRESS PORT COUNT SOURCE...` connects COUNT times, from each of the
sources in turn. Every connection is given a request, or half of one (every fifth). It prints one
line of JSON once all have come: how many were `answered`, `waiting` for more or `refused`. It ends,
and its connections with it, when its stdin does.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
from collections import Counter
from collections.abc import Sequence

AT_ONCE = 200
REQUEST = b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n"
WITHIN = 20.0  # seconds that an answer may take


class Crowd:
    """See the module; `report` says what became of them."""

    def __init__(self, address: tuple[str, int], sources: Sequence[str]) -> None:
        self._address, self._sources = address, sources
        self._held: list[socket.socket] = []
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.report: Counter[str] = Counter(answered=0, waiting=0, refused=0)

    async def come(self, number: int) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(WITHIN):
                    self.report[await self._ask(number)] += 1
            except (OSError, TimeoutError):
                self.report["refused"] += 1

    async def _ask(self, number: int) -> str:
        loop, sock = asyncio.get_running_loop(), socket.socket()
        self._held.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((self._sources[number % len(self._sources)], 0))
        await loop.sock_connect(sock, self._address)
        if number % 5 == 0:
            await loop.sock_sendall(sock, REQUEST[:20])
            return "waiting"
        await loop.sock_sendall(sock, REQUEST)
        return "answered" if b" 200 " in await loop.sock_recv(sock, 4096) else "refused"


async def main(address: str, port: str, count: str, *sources: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd((address, int(port)), sources)
    async with asyncio.TaskGroup() as group:
        for number in range(int(count)):
            group.create_task(crowd.come(number))
    print(json.dumps(crowd.report), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
