"""UDP: what is finished goes out at once, all else goes to the responder."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial

from ..model.network import Network
from . import wire
from .counters import Counters
from .reply import Tail
from .responder import Responder

# Datagrams for one wake-up of the loop, so that other tasks get their turn: under a flood they
# waited 36 ms (p99) when it was 1,000, and more than this does not gain any throughput.
DRAIN = 32
# Queries are read up to here. Longer ones are malformed, or full of options nobody asked for.
_LONGEST = wire.UDP_MAX

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
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self.drain)

    def __repr__(self) -> str:
        return f"<UdpListener on {self._network.name} [{len(self._askers)} askers known]>"

    def close(self) -> None:
        """Stop listening. Whoever keeps a duplicate of the socket has what is still queued."""
        self._loop.remove_reader(self.socket)
        self.socket.close()

    def drain(self) -> bool:
        """Answer what is queued, at most DRAIN datagrams; returns whether there may be more."""
        receive, view_of = self.socket.recvfrom, self._askers.get
        send, clock = self.socket.sendto, self._clock
        cached, may_be_more = 0, True
        for _ in range(DRAIN):
            try:
                packet, source = receive(_LONGEST)
            except BlockingIOError:
                may_be_more = False
                break
            except OSError:  # an error that the kernel reports here once, not about this socket
                continue
            view = view_of(source[0])
            tail = None if view is None else view.ready(packet[2:])
            if isinstance(tail, Tail):
                tail = tail.at(clock())
            if tail is None:
                self._respond(packet, source)
                continue
            cached += 1
            try:
                send(packet[:2] + tail, source)
            except OSError:
                self._counters.unsent += 1
        self._counters.cached += cached
        return may_be_more

    def _respond(self, packet: bytes, source: _Source) -> None:
        view = self._responder.view_of(self._network, source[0])
        self._responder.respond(view, packet, source[0], partial(self._send, source))

    def _send(self, source: _Source, reply: bytes) -> None:
        """Send a reply, now or long after; the asker asks again if the kernel does not take it."""
        try:
            self.socket.sendto(reply, source)
        except OSError:
            self._counters.unsent += 1
