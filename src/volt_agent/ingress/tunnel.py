"""Both directions of a connection whose bytes are not ours to read: after an Upgrade, or TLS that
is passed through."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from ..handover.connections import Side
from .connection import WOULD_WAIT, Connection
from .poller import IN, Poller
from .targets import Endpoint

_LAST = 30.0  # seconds to take what still waits once the other end is gone


class TunnelEnd(Connection):
    """One end. An end of input is passed on as such; both ends go when both directions are over.
    `owner` is whose it is: a client, by its address, or an endpoint."""

    __slots__ = ("_has_ended", "_on_close", "idle", "owner", "received")

    peer: TunnelEnd | None

    def __init__(
        self,
        former: Connection,
        owner: str | Endpoint,
        idle: float,
        on_close: Callable[[TunnelEnd], None],
    ) -> None:
        """Takes the socket of `former` over, with what it still has to send. After `idle` seconds
        without a byte in either direction the tunnel ends; `on_close` is called once by each end.
        """
        super().__init__(former.poller, former.sock, former._secure)
        self._output, self._mask, self._reads = former._output, former._mask, former._reads
        self.owner, self.idle, self._on_close = owner, idle, on_close
        self._has_ended = False  # nothing more comes from here
        self.received = 0
        former.peer = None
        former.is_closed = True  # as far as it is concerned
        self.poller.unwatch(former)
        self.poller.watch(self)
        self.poller.hand_over(self.fd, self.event)
        self._touch()

    @classmethod
    def adopt(
        cls,
        poller: Poller,
        sock: socket.socket,
        side: Side,
        owner: str | Endpoint,
        idle: float,
        on_close: Callable[[TunnelEnd], None],
    ) -> TunnelEnd:
        """An end that was another process's."""
        former = Connection(poller, sock)
        poller.add(former.fd, IN, former.event)
        end = cls(former, owner, idle, on_close)
        end._output, end.received, end._has_ended = side.output, side.received, side.has_ended
        if side.has_ended:
            end.pause()
        end._adjust()
        return end

    def side(self) -> Side:
        """What another process has to know of it; halted before."""
        assert isinstance(self._output, bytes)
        return Side(self._output, self._has_ended, self.received)

    def join(self, other: TunnelEnd) -> None:
        """From now on what comes in here goes out there, and the other way round."""
        self.peer, other.peer = other, self
        for each in (self, other):
            peer = self if each is other else other
            each._closes_after_output = peer._has_ended and bool(each._output)
            if peer._output:
                each.pause()
            else:
                each.resume()

    def _touch(self) -> None:
        self.deadline = self.poller.now + self.idle
        if self.peer is not None:
            self.peer.deadline = self.deadline

    def _readable(self) -> None:
        try:
            data = self._receive()
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        self._touch()
        if data:
            self.received += len(data)
            if self.peer is not None:
                self.peer.write(data)
        else:
            self._end_of_input()

    def _end_of_input(self) -> None:
        self._has_ended = True
        self.pause()
        peer = self.peer
        if peer is None or self.is_tls or (peer._has_ended and not self._output):
            # TLS has no half of a connection to close.
            self.close()
        else:
            peer.finish()

    def _output_done(self) -> None:
        """Everything from the other end is out, and it has ended."""
        peer = self.peer
        if peer is None or self._has_ended or self.is_tls:
            self.close()
            return
        self._closes_after_output = False
        # Where the connection is over already, what has come of it is still to be read.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def part(self) -> None:
        self.peer = None  # it goes its own way
        super().part()

    def resume(self) -> None:
        if not self._has_ended:
            super().resume()

    def _lost(self) -> None:
        peer, self.peer = self.peer, None
        self._on_close(self)
        if peer is not None:
            peer.peer = None
            peer.deadline = min(peer.deadline, self.poller.now + _LAST)
            peer.finish()
