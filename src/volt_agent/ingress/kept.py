"""Tunnels that outlive this process: forwarded so that no byte is lost or doubled whenever it is
killed.

What has come is looked at (MSG_PEEK), sent on, and only then taken (MSG_TRUNC). At any moment the
kernel has everything: bytes not sent on lie in the one socket, the others in the other, and those
between the last two steps in both, which its counters tell (`positions`). Nothing waits in memory;
who is slow to read keeps its bytes waiting in the sender's socket. A holder (`handover.holder`)
keeps the descriptors.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from .connection import WOULD_WAIT, Connection
from .poller import BROKEN, IN, OUT, PIECE
from .positions import discard
from .targets import Endpoint
from .tunnel import TunnelEnd


class KeptEnd(TunnelEnd):
    """One end of such a tunnel. What its makers left to be sent is sent first, from memory."""

    __slots__ = ("_is_full",)

    def __init__(
        self,
        former: Connection,
        owner: str | Endpoint,
        idle: float,
        on_close: Callable[[TunnelEnd], None],
    ) -> None:
        super().__init__(former, owner, idle, on_close)
        self._is_full = False  # the other end waits until this one takes more
        # An urgent byte would be counted, but not found among the others.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    @property
    def is_clear(self) -> bool:
        """Whether nothing waits in memory."""
        return not self._output

    def event(self, mask: int) -> None:
        if self._is_full and mask & (OUT | BROKEN):
            self._is_full = False
            self._adjust()
            if self.peer is not None:
                self.peer.resume()
        super().event(mask)

    def _readable(self) -> None:
        peer, poller = self.peer, self.poller
        try:
            count = self.sock.recv_into(poller.buffer, PIECE, socket.MSG_PEEK)
            if not count or not isinstance(peer, KeptEnd):
                self._touch()
                self._end_of_input()
                return
            sent = peer.send_now(poller.view[:count])
            if sent:
                self._touch()
                self.received += sent
                discard(self.sock, sent, poller.buffer)
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        if sent < count and not self.is_closed:
            self.pause()
            peer.await_room()

    def send_now(self, data: memoryview) -> int:
        """What is taken of it at once. Raises OSError if it takes nothing any more."""
        try:
            return self._send(data)
        except WOULD_WAIT:
            return 0

    def await_room(self) -> None:
        """Have the other end go on once this one takes more."""
        self._is_full = True
        self._adjust()

    def _adjust(self) -> None:
        mask = (IN if self._reads else 0) | (OUT if self._output or self._is_full else 0)
        if mask == self._mask or self.is_closed:
            return
        if self._mask < 0:
            self.poller.add(self.fd, mask, self.event)
        else:
            self.poller.change(self.fd, mask)
        self._mask = mask
