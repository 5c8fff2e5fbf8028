"""UDP: what is finished goes out at once, all else goes to the responder."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from struct import Struct as Layout

from ..model.network import Network
from .counters import Counters
from .datagrams import Datagrams
from .rationing import RATION, READ, Rationing
from .reply import Tail
from .responder import Responder
from .view import View

# Datagrams for one wake-up of the loop, so that other tasks get their turn: under a flood they
# waited 36 ms (p99) when it was 1,000, and more than this does not gain any throughput.
DRAIN = 32
# What a turn may take (seconds). An answer that is ready costs some 8 us, a question that has to go
# upstream ten times as much: then fewer are taken, but never less than PORTION_MIN.
TURN = 0.002
PORTION_MIN = 4
# Linux values that Python 3.11 does not name (asm-generic/socket.h, linux/sock_diag.h).
_SO_MEMINFO = 55
_RMEM_ALLOC, _DROPS, _MEMINFO = 0, 8, Layout("=9I")

_Source = tuple[str, int]


class UdpListener:
    """Answers the queries that arrive on one network's socket.

    This is the hot path: it reads the view's tails directly, and counts once for each wake-up.
    """

    def __init__(
        self,
        sock: socket.socket,
        network: Network,
        responder: Responder,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.socket = sock
        self._network = network
        self._responder = responder
        self._counters = counters
        self._clock = clock
        self._askers = responder.views.askers(network.name)
        self._datagrams = Datagrams(DRAIN)
        self._rationing = Rationing()
        self._portion = DRAIN  # datagrams for the next turn
        self._rations = False  # in the next turn
        self._replies: list[tuple[bytes, _Source]] = []  # not sent yet
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self.drain)

    def __repr__(self) -> str:
        return f"<UdpListener on {self._network.name} [{len(self._askers)} askers known]>"

    def close(self) -> None:
        """Stop listening. Whoever keeps a duplicate of the socket has what is still queued."""
        self._loop.remove_reader(self.socket)
        self._send_replies()
        self.socket.close()

    @property
    def overflows(self) -> int:
        """Datagrams that the kernel dropped because the queue was full, since the socket exists."""
        return self._memory_info()[_DROPS]

    def drain(self) -> bool:
        """Answer what is queued, as much as fits into a turn; returns whether there may be more."""
        now, portion = self._clock(), self._portion
        if self._rations:
            answered = self._ration(now + TURN)
        else:
            answered = self._datagrams.receive(self.socket.fileno(), portion)
            self._answer(answered, now)
        self._send_replies()
        if answered < portion:
            self._rations = False
            return False
        self._portion = next_portion(portion, self._clock() - now)
        self._rations = self._rationing.is_due(self._memory_info()[_RMEM_ALLOC], answered, now)
        return True

    def _answer(self, got: int, now: float) -> None:
        """Answer the first `got` datagrams: those whose reply is ready all at once."""
        datagrams, view_of, sizes = self._datagrams, self._askers.get, self._datagrams.sizes
        cached = first = 0
        for i, address, body, length in zip(
            range(got), datagrams.addresses, datagrams.bodies, datagrams.lengths, strict=False
        ):
            view = view_of(bytes(address))
            tail = None if view is None else view.ready(bytes(body[: length - 2]))
            if isinstance(tail, Tail):
                tail = tail.at(now)
            if tail is None:
                if first < i:
                    self._send_ready(first, i)
                first = i + 1
                self._respond(i, view)
                continue
            size = len(tail)
            body[:size] = tail
            sizes[i] = size + 2
            cached += 1
        if first < got:
            self._send_ready(first, got)
        self._counters.cached += cached

    def _send_ready(self, first: int, end: int) -> None:
        self._counters.unsent += self._datagrams.send(self.socket.fileno(), first, end)

    def _ration(self, until: float) -> int:
        """Answer what is queued, but no asker more than his ration; returns how many were read."""
        descriptor, datagrams, spent = self.socket.fileno(), self._datagrams, Counter[bytes]()
        answered = 0
        while spent.total() < READ and answered < DRAIN and self._clock() <= until:
            got = datagrams.receive(descriptor, DRAIN)
            for i, address in enumerate(map(bytes, datagrams.addresses[:got])):
                spent[address] += 1
                if spent[address] <= RATION:
                    self._respond(i)
                    answered += 1
            if got < DRAIN:
                break
        self._counters.rationed += sum(max(count - RATION, 0) for count in spent.values())
        return spent.total()

    def _memory_info(self) -> tuple[int, ...]:
        """What the kernel says about the socket's queue, in the order of SK_MEMINFO_*."""
        return _MEMINFO.unpack(
            self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        )

    def _respond(self, i: int, view: View | None = None) -> None:
        """Have the responder answer datagram `i`; of a known `view`, nothing is ready for it."""
        packet, source = self._datagrams.packet(i), self._datagrams.source(i)
        send = partial(self._send, source)
        if view is not None and packet[12:].islower():
            self._responder.respond_anew(view, packet, source[0], send)
            return
        view = view or self._responder.view_of(self._network, source[0])
        self._responder.respond(view, packet, source[0], send)

    def _send(self, source: _Source, reply: bytes) -> None:
        """Have a reply sent at the end of this turn of the loop, together with others.

        The first one wakes its receiver up, which costs more than all the rest: one by one, each
        would do that (25 us instead of 6).
        """
        if not self._replies:
            self._loop.call_soon(self._send_replies)
        self._replies.append((reply, source))

    def _send_replies(self) -> None:
        """Send what there is; an asker asks again if the kernel does not take his."""
        replies, self._replies = self._replies, []
        for reply, source in replies:
            try:
                self.socket.sendto(reply, source)
            except OSError:
                self._counters.unsent += 1


def next_portion(portion: int, took: float) -> int:
    """How many datagrams to take in the next turn, after one of `portion` that took so long."""
    if took > TURN:
        return max(portion // 2, PORTION_MIN)
    return min(portion * 2, DRAIN) if took < TURN / 2 else portion
