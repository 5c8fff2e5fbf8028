"""Real packets between the namespaces of a private host, all from one process.

A socket belongs for life to the namespace in which it was made, so one asyncio loop can hold
sockets in every namespace of the host. Echo servers record who reached them: whether a packet was
dropped on the way there or on the way back is seen, not guessed from a silence.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import struct
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from . import names_on_wire
from .namespaces import socket_in
from .streams import Stream, streams

# A batch may not need more descriptors than the usual limit of 1,024 allows.
BATCH = 400
STEPS = 20  # in which the time of a probe passes
RESEND = 0.3  # seconds; a lost datagram on a busy machine is no verdict


class Attempt(Struct, frozen=True):
    """One try to reach an address: from "host", "outside" or a workload."""

    source: str
    target: str
    protocol: str  # tcp, udp or ping
    port: int = 0
    source_port: int = 0  # 0: any

    def __str__(self) -> str:
        port = f":{self.port}" if self.protocol != "ping" else ""
        return f"{self.source} -> {self.target}{port} {self.protocol}"


class Outcome(Struct, frozen=True):
    """What came of an attempt.

    `arrived` says whether the server saw it (never known for ping), `seen_as` the source address it
    saw, `error` the kernel's refusal ("ECONNREFUSED", ...), None after a silence.
    """

    answered: bool
    arrived: bool = False
    seen_as: str | None = None
    error: str | None = None


class Traffic:
    """Echo servers, probes and streams. Every method may be called through `inside`."""

    def __init__(self) -> None:
        self._servers: dict[str, list[Callable[[], None]]] = {}
        self._arrivals: dict[str, str] = {}
        self._tokens = (f"t{number}" for number in itertools.count())
        self._streams: dict[int, Stream] = {}

    # ---- servers --------------------------------------------------------------------------------

    async def serve(
        self, where: str, tcp: Sequence[int] = (), udp: Sequence[int] = (), ipv6: bool = False
    ) -> None:
        """Echo on these ports, on all addresses, until `leave`."""
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        closers = self._servers.setdefault(where, [])
        for port in tcp:
            listener = socket_in(where, family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _only_v6(listener, ipv6)
            listener.bind(("", port))
            server = await asyncio.start_server(self._talk, sock=listener, backlog=512)
            closers.append(server.close)
        for port in udp:
            closers.append(self._serve_udp(where, family, port, ipv6))

    def leave(self, where: str) -> None:
        """Close every server in a namespace."""
        for close in self._servers.pop(where, []):
            close()

    def _serve_udp(self, where: str, family: int, port: int, ipv6: bool) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        sock = socket_in(where, family, socket.SOCK_DGRAM)
        _only_v6(sock, ipv6)
        sock.bind(("", port))

        def echo() -> None:
            with suppress(BlockingIOError):
                while True:
                    data, source = sock.recvfrom(2048)
                    with suppress(OSError):
                        sock.sendto(self._arrived(data.decode(), source[0]), source)

        def close() -> None:
            loop.remove_reader(sock)
            sock.close()

        loop.add_reader(sock, echo)
        return close

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Echo line by line; a line `download N` asks for N numbered lines per second."""
        source = writer.get_extra_info("peername")[0]
        # Python 3.11 shows a traceback for each of these tasks that ends as cancelled.
        with suppress(OSError, asyncio.CancelledError):
            while line := (await reader.readline()).decode():
                if line.startswith("download "):
                    await _push(writer, float(line.split()[1]))
                writer.write(self._arrived(line, source))
                await writer.drain()
        writer.close()

    def _arrived(self, text: str, source: str) -> bytes:
        token = text.strip()
        if token.startswith("t"):
            self._arrivals[token] = source
        return f"{token} {source}\n".encode()

    # ---- probes ---------------------------------------------------------------------------------

    async def probe(self, attempts: list[dict[str, Any]], within: float) -> list[Any]:
        """Make all attempts at once, each with `within` seconds; the outcomes in the same order."""
        outcomes: list[Outcome] = []
        tries = [msgspec.convert(each, Attempt) for each in attempts]
        for first in range(0, len(tries), BATCH):
            batch = [asyncio.create_task(self._try(each)) for each in tries[first : first + BATCH]]
            await _give_up(batch, within)
            outcomes += await asyncio.gather(*batch)
        result: list[Any] = msgspec.to_builtins(outcomes)
        return result

    async def _try(self, attempt: Attempt) -> Outcome:
        """Try until there is an answer, a refusal, or the task is cancelled."""
        token = next(self._tokens)
        how = {"tcp": _by_tcp, "udp": _by_udp, "ping": _by_ping}[attempt.protocol]
        error, answered = None, False
        try:
            await how(attempt, token)
            answered = True
        except asyncio.CancelledError:
            pass
        except OSError as refusal:
            error = errno.errorcode.get(refusal.errno or 0, str(refusal))
        seen_as = self._arrivals.pop(token, None)
        return Outcome(answered, arrived=seen_as is not None, seen_as=seen_as, error=error)

    # ---- names ----------------------------------------------------------------------------------

    async def query(self, where: str, server: str, name: str, **how: Any) -> dict[str, Any]:
        """Ask a DNS server once; see `names_on_wire.query`."""
        return await names_on_wire.query(where, server, name, **how)

    async def await_name(
        self, where: str, server: str, name: str, address: str | None, within: float
    ) -> float:
        """The monotonic time of the first answer that `name` is `address` (None: NXDOMAIN)."""
        return await names_on_wire.first_right_answer(where, server, name, address, within)

    # ---- streams --------------------------------------------------------------------------------

    async def start_stream(self, kind: str, **how: Any) -> int:
        """Start a steady stream ("udp", "dns", "session", "download"); returns its number."""
        stream = streams[kind](**how)
        await stream.start()
        number = len(self._streams)
        self._streams[number] = stream
        return number

    async def await_progress(self, numbers: Sequence[int], more: int, within: float) -> float:
        """Wait until each of these streams has received `more` from now on; how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        goals = {self._streams[each]: self._streams[each].received + more for each in numbers}
        async with asyncio.timeout(within):
            for stream, goal in goals.items():
                while stream.received < goal:
                    await stream.next_sign()
        return loop.time() - began

    def progress(self, number: int) -> int:
        """How many answers or lines a stream has received so far."""
        return self._streams[number].received

    async def stop_stream(self, number: int) -> dict[str, Any]:
        """End a stream and say what became of it."""
        return await self._streams[number].stop()


def _only_v6(sock: socket.socket, ipv6: bool) -> None:
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def _give_up(tasks: Collection[asyncio.Task[Any]], within: float) -> None:
    """Cancel those that are not done after `within` seconds in which this process could work.

    Servers and probes are one process: while it does not get a processor, no time passes.
    """
    pending: Collection[asyncio.Task[Any]] = tasks
    for _ in range(STEPS):
        if pending:
            _, pending = await asyncio.wait(pending, timeout=within / STEPS)
    for each in pending:
        each.cancel()


async def _push(writer: asyncio.StreamWriter, rate: float) -> None:
    for number in itertools.count():
        writer.write(f"{number}\n".encode())
        await writer.drain()
        await asyncio.sleep(1 / rate)


async def _by_tcp(attempt: Attempt, token: str) -> None:
    loop = asyncio.get_running_loop()
    with socket_in(attempt.source, _family(attempt.target), socket.SOCK_STREAM) as sock:
        await loop.sock_connect(sock, (attempt.target, attempt.port))
        await loop.sock_sendall(sock, f"{token}\n".encode())
        if not await loop.sock_recv(sock, 100):
            raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")


async def _by_udp(attempt: Attempt, token: str) -> None:
    with socket_in(attempt.source, _family(attempt.target), socket.SOCK_DGRAM) as sock:
        if attempt.source_port:
            sock.bind(("", attempt.source_port))
        sock.connect((attempt.target, attempt.port))
        await _insist(sock, token.encode(), lambda data: data.split()[0] == token.encode())


async def _by_ping(attempt: Attempt, token: str) -> None:
    """An ICMP echo request over a raw socket (RFC 792, RFC 4443)."""
    ident = int.from_bytes(os.urandom(2))
    if ":" in attempt.target:
        raw = socket_in(attempt.source, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        request, reply, skip = 128, 129, 0
    else:
        raw = socket_in(attempt.source, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        request, reply, skip = 8, 0, 20  # an IPv4 raw socket delivers the IP header too
    body = struct.pack("!HH", ident, 1) + token.encode()
    packet = struct.pack("!BBH", request, 0, _checksum(struct.pack("!BBH", request, 0, 0) + body))
    with raw:
        raw.connect((attempt.target, 0))
        await _insist(
            raw,
            packet + body,
            lambda data: data[skip] == reply and data[skip + 4 : skip + 6] == body[:2],
        )


async def _insist(sock: socket.socket, data: bytes, is_answer: Callable[[bytes], bool]) -> None:
    """Send `data` again and again until an answer comes; the caller has the time limit."""
    loop = asyncio.get_running_loop()
    while True:
        sock.send(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(RESEND):
                while not is_answer(await loop.sock_recv(sock, 2048)):
                    pass
                return


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071); for ICMPv6 the kernel fills it in itself."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - (total + (total >> 16)) & 0xFFFF
