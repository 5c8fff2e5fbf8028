"""One question to one upstream server: over UDP from a port of its own, or over TCP.

A spoofer who cannot see the traffic has to guess the id (16 bits), our port (about 15 bits: the
kernel draws one for each socket), and the case of every letter; and the socket is connected, so the
kernel takes packets from the server's address only (RFC 5452).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from . import wire
from .counters import Counters
from .ears import Ears
from .health import Upstream
from .question import Question
from .reply import Relayed, matches, matches_but_for_case, refuses_edns
from .wire import HEADER, Malformed

# Wrong replies to one question after which somebody is probably guessing: over TCP he cannot.
STRAYS_MAX = 8
# What a server may send over UDP although we announce less.
_DATAGRAM_MAX = 4096


class Failure(Enum):
    """Why there is no reply."""

    UNREACHABLE = "could not be reached"
    NONSENSE = "said nothing that could be read"
    ASK_OVER_TCP = "the reply has to be fetched over TCP"
    ASK_WITHOUT_EDNS = "the server does not know EDNS"


Result = Relayed | Failure
Done = Callable[[Result], None]
Clock = Callable[[], float]


class Exchange(Protocol):
    """A question under way. Its `done` is called once, unless it is cancelled before."""

    def cancel(self) -> None: ...


class UdpExchange:
    """A question under way over UDP."""

    def __init__(
        self,
        upstream: Upstream,
        question: Question,
        ears: Ears,
        clock: Clock,
        counters: Counters,
        done: Done,
        edns: bool = True,
    ) -> None:
        """Sends at the end of this turn. Raises OSError without a route or descriptors."""
        entropy = os.urandom(2 + len(question.name))
        self._ident = entropy[:2]
        self._question = question
        self._section = question.section(entropy[2:])
        self._ears = ears
        self._clock = clock
        self._counters = counters
        self._done = done
        self._edns = edns
        self._strays = 0
        self._socket = ears.open(upstream, self._on_readable)
        ears.send_soon(self._send)

    def cancel(self) -> None:
        self._ears.close(self._socket)

    def _send(self) -> None:
        try:
            self._socket.send(self._question.packet(self._ident, self._section, self._edns))
        except OSError:  # cancelled already, or the kernel does not let it go
            if self._socket.fileno() >= 0:
                self._finish(Failure.UNREACHABLE)

    def _on_readable(self) -> None:
        try:
            packet = self._socket.recv(_DATAGRAM_MAX)
        except BlockingIOError:
            return
        except OSError:  # ECONNREFUSED and relatives: an ICMP error came back
            self._finish(Failure.UNREACHABLE)
            return
        result = self._judge(packet)
        if result is None:
            return
        if isinstance(result, Relayed):
            self._ears.rest(self._socket)
            self._done(result)
        else:
            self._finish(result)

    def _judge(self, packet: bytes) -> Result | None:
        """What to make of a packet from the server's address; None: go on waiting."""
        if matches(packet, self._ident, self._section) and not packet[3] & 0xF:
            return _read(packet, self._question, self._clock())  # by far the most
        if self._edns and refuses_edns(packet, self._ident, self._section):
            return Failure.ASK_WITHOUT_EDNS
        if matches(packet, self._ident, self._section):
            return _read(packet, self._question, self._clock())
        if matches_but_for_case(packet, self._ident, self._section):
            # Some servers do not give back the case. TCP proves who we talk to in another way.
            return Failure.ASK_OVER_TCP
        self._counters.upstream_strays += 1
        self._strays += 1
        return Failure.ASK_OVER_TCP if self._strays >= STRAYS_MAX else None

    def _finish(self, result: Result) -> None:
        self.cancel()
        self._done(result)


class TcpExchange:
    """A question under way over TCP, on a connection of its own."""

    def __init__(
        self, upstream: Upstream, question: Question, clock: Clock, done: Done, edns: bool = True
    ) -> None:
        self._edns = edns
        self._upstream = upstream
        self._question = question
        self._clock = clock
        self._done = done
        self._task = asyncio.create_task(self._run(), name=f"dns upstream {upstream[0]} tcp")

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        ident = os.urandom(2)
        section = self._question.section(bytes(len(self._question.name)))
        try:
            query = self._question.packet(ident, section, self._edns)
            packet = await ask_over_tcp(self._upstream, query)
        except (OSError, EOFError):
            self._done(Failure.UNREACHABLE)
            return
        if self._edns and refuses_edns(packet, ident, section):
            self._done(Failure.ASK_WITHOUT_EDNS)
        elif matches_but_for_case(packet, ident, section):
            result = _read(packet, self._question, self._clock())
            # A server that cuts short what has no limit has nothing better to say.
            self._done(Failure.NONSENSE if result is Failure.ASK_OVER_TCP else result)
        else:
            self._done(Failure.NONSENSE)


async def ask_over_tcp(upstream: Upstream, packet: bytes) -> bytes:
    """Send one query over TCP (RFC 1035, section 4.2.2) and return the first message that comes.

    Raises OSError or EOFError. The caller bounds the time.
    """
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()


def _read(packet: bytes, question: Question, now: float) -> Result:
    """What a reply to `question` says, or why nothing can be made of it."""
    if packet[2] & wire.TC >> 8:
        return Failure.ASK_OVER_TCP
    try:
        return Relayed(packet, HEADER.size + len(question.name) + 4, now, question.dnssec_ok)
    except Malformed:
        return Failure.NONSENSE
