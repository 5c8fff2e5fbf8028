"""Steady streams that run while something else happens, and tell afterwards what they noticed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from . import names_on_wire
from .namespaces import socket_in

# Seconds that the answer to the last question may take: only if that is lost, it takes so long.
LINGER = 30.0
# Octets for answers that wait until they are read. What piled up while a server was away is
# answered at once: of that the kernel's default holds 277 answers, and a busy machine lost others.
ROOM = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


class Stream(Protocol):
    """Something that runs from `start` to `stop`."""

    @property
    def received(self) -> int:
        """How many answers or lines have come so far."""

    async def start(self) -> None: ...

    async def next_sign(self) -> None:
        """Wait until it receives something."""

    async def stop(self) -> dict[str, Any]:
        """End, and report at least `sent`, `received`, `longest_gap_ms`."""


class _Gaps:
    """The longest time between two signs of life."""

    def __init__(self) -> None:
        self._last = asyncio.get_running_loop().time()
        self.longest = 0.0
        self._marked = asyncio.Event()

    async def wait(self) -> None:
        """Until the next mark."""
        self._marked.clear()
        await self._marked.wait()

    def mark(self) -> None:
        self._marked.set()
        now = asyncio.get_running_loop().time()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    @property
    def milliseconds(self) -> float:
        return round(self.longest * 1000, 1)


class DatagramStream:
    """Numbered datagrams at a steady rate, each of which must be answered once.

    `make` turns a number into a datagram, `read` an answer into the number, or None for one that
    is wrong.
    """

    def __init__(
        self,
        source: str,
        target: str,
        port: int,
        rate: float,
        make: Callable[[int], bytes],
        read: Callable[[bytes], int | None],
    ) -> None:
        self._sock = socket_in(source, socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(PermissionError):  # in a user namespace
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM)
        self._sock.connect((target, port))
        self._make, self._read, self._rate = make, read, rate
        self._sent = 0
        self._answered: set[int] = set()
        self._wrong = 0

    @property
    def received(self) -> int:
        return len(self._answered)

    async def start(self) -> None:
        self._gaps = _Gaps()
        asyncio.get_running_loop().add_reader(self._sock, self._receive)
        self._task = asyncio.create_task(self._send())

    async def next_sign(self) -> None:
        await self._gaps.wait()

    async def stop(self) -> dict[str, Any]:
        self._task.cancel()
        self._gaps.mark()  # a silence that lasts until now is one too
        # Answers come in order: once there is the last one, what is missing is lost.
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self._sent and self._sent - 1 not in self._answered:
                    await self.next_sign()
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        return {
            "sent": self._sent,
            "received": self.received,
            "lost": self._sent - self.received,
            "first_lost": self._first_lost(),
            "wrong": self._wrong,
            "longest_gap_ms": self._gaps.milliseconds,
        }

    def _first_lost(self) -> list[int]:
        """The numbers of the first few datagrams without an answer: when it happened."""
        return [each for each in range(self._sent) if each not in self._answered][:10]

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with suppress(OSError):  # a port that is closed for a moment: the datagram is lost
                self._sock.send(self._make(self._sent))
            self._sent += 1
            due += 1 / self._rate
            await asyncio.sleep(due - loop.time())

    def _receive(self) -> None:
        with suppress(OSError):
            while True:
                number = self._read(self._sock.recv(2048))
                if number is None:
                    self._wrong += 1
                else:
                    self._answered.add(number)
                    self._gaps.mark()


class LineStream:
    """One TCP connection that carries lines at a steady rate: a session (echoed) or a download."""

    received: int

    def __init__(self, source: str, target: str, port: int, rate: float, download: bool) -> None:
        self._sock = socket_in(source, socket.AF_INET, socket.SOCK_STREAM)
        self._address = (target, port)
        self._rate, self._download = rate, download
        self._sent = self.received = 0
        self._ended: str | None = None
        self._last = 0.0

    async def start(self) -> None:
        await asyncio.get_running_loop().sock_connect(self._sock, self._address)
        self._reader, self._writer = await asyncio.open_connection(sock=self._sock)
        self._gaps = _Gaps()
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]

    async def next_sign(self) -> None:
        await self._gaps.wait()

    async def stop(self) -> dict[str, Any]:
        for task in self._tasks:
            task.cancel()
        self._gaps.mark()
        self._writer.close()
        return {
            "sent": self._sent,
            "received": self.received,
            "ended": self._ended,
            "last": self._last,
            "longest_gap_ms": self._gaps.milliseconds,
        }

    async def _send(self) -> None:
        if self._download:
            self._writer.write(f"download {self._rate}\n".encode())
            return
        with suppress(OSError):
            while True:
                self._writer.write(f"s{self._sent}\n".encode())
                self._sent += 1
                await asyncio.sleep(1 / self._rate)

    async def _receive(self) -> None:
        try:
            while await self._reader.readline():
                self.received += 1
                self._last = time.monotonic()
                self._gaps.mark()
            self._ended = "closed"
        except OSError as error:
            self._ended = str(error)


def udp(source: str, target: str, port: int, rate: float) -> Stream:
    """Datagrams to an echo server."""

    def read(data: bytes) -> int | None:
        return int(data.split()[0][1:])

    return DatagramStream(source, target, port, rate, lambda n: f"n{n}".encode(), read)


def dns(source: str, server: str, name: str, address: str, rate: float) -> Stream:
    """Questions for one name, whose answer must be `address`; up to 65,536 of them."""
    wire = names_on_wire.question(name)

    def make(number: int) -> bytes:
        return struct.pack("!H", number) + wire[2:]

    def read(data: bytes) -> int | None:
        right = names_on_wire.is_right(names_on_wire.read_answer(data), address)
        return int.from_bytes(data[:2]) if right else None

    return DatagramStream(source, server, names_on_wire.DNS_PORT, rate, make, read)


class ChangingName(DatagramStream):
    """Questions for a name that comes and goes, up to 65,536 of them.

    An answer is wrong that says anything but `address` or NXDOMAIN. `flips` counts how often the
    answer was another one than that to the question before.
    """

    def __init__(self, source: str, server: str, name: str, address: str, rate: float) -> None:
        wire = names_on_wire.question(name)
        self._verdicts: dict[int, bool] = {}
        self._address = address

        def make(number: int) -> bytes:
            return struct.pack("!H", number) + wire[2:]

        super().__init__(source, server, names_on_wire.DNS_PORT, rate, make, self._judge)

    def _judge(self, data: bytes) -> int | None:
        number, answer = int.from_bytes(data[:2]), names_on_wire.read_answer(data)
        is_there = names_on_wire.is_right(answer, self._address)
        if not is_there and not names_on_wire.is_right(answer, None):
            return None
        self._verdicts[number] = is_there
        return number

    async def stop(self) -> dict[str, Any]:
        report = await super().stop()
        verdicts = [self._verdicts[each] for each in sorted(self._verdicts)]
        return report | {"flips": sum(a != b for a, b in itertools.pairwise(verdicts))}


def session(source: str, target: str, port: int, rate: float) -> Stream:
    """Lines both ways over one TCP connection, like somebody typing over SSH."""
    return LineStream(source, target, port, rate, download=False)


def download(source: str, target: str, port: int, rate: float) -> Stream:
    """Lines from the server only, over one TCP connection."""
    return LineStream(source, target, port, rate, download=True)


streams: dict[str, Callable[..., Stream]] = {
    "udp": udp,
    "dns": dns,
    "changing name": ChangingName,
    "session": session,
    "download": download,
}
