"""TLS that is passed through: found by name, given to a backend as it comes, ended nowhere here."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from .connection import Connection
from .poller import IN, OUT
from .targets import Endpoint, Target

if TYPE_CHECKING:
    from .handshake import Handshake
    from .proxy import Proxy


class Passage:
    """The way of one connection to the first endpoint that accepts; then it is a tunnel."""

    def __init__(self, proxy: Proxy, client: Handshake, target: Target) -> None:
        self._proxy, self._client, self._target = proxy, client, target
        self._tried: tuple[Endpoint, ...] = ()
        self._uplink: Uplink | None = None

    def begin(self) -> None:
        """Connect to an endpoint, or to the next one. Without one the client is cut off: there is
        no alert that would be ours to send."""
        while (endpoint := self._target.pick(self._tried)) is not None:
            uplink = Uplink.connect(self, endpoint, self._proxy)
            if uplink is not None:
                self._uplink = uplink
                return
            self._failed(endpoint)
        self._client.close()

    def connected(self, uplink: Uplink) -> None:
        """The endpoint has accepted. What the client has sent lies unread in its socket."""
        proxy = self._proxy
        proxy.on_result(uplink.endpoint, True)
        for each in (self._client, uplink):
            proxy.poller.change(each.fd, IN)
        proxy.tunnel(self._client, uplink, self._target, b"")

    def not_connected(self, uplink: Uplink) -> None:
        """The endpoint has refused, or not answered in time."""
        self._uplink = None
        self._failed(uplink.endpoint)
        self.begin()

    def client_lost(self) -> None:
        """The client went before there was a tunnel."""
        if self._uplink is not None:
            self._uplink.close()

    def _failed(self, endpoint: Endpoint) -> None:
        self._tried = (*self._tried, endpoint)
        self._proxy.on_result(endpoint, False)


class Uplink(Connection):
    """A connection to an endpoint that is being made."""

    __slots__ = ("_passage", "endpoint")

    def __init__(
        self, passage: Passage, endpoint: Endpoint, proxy: Proxy, sock: socket.socket
    ) -> None:
        super().__init__(proxy.poller, sock)
        self._passage, self.endpoint = passage, endpoint
        endpoint.outstanding += 1
        self.deadline = self.poller.now + proxy.limits.connect
        self.poller.add(self.fd, OUT, self.event)
        self.poller.watch(self)

    @classmethod
    def connect(cls, passage: Passage, endpoint: Endpoint, proxy: Proxy) -> Uplink | None:
        """None if that is refused at once, or descriptors have run out."""
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            return None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.connect_ex(endpoint.address) not in (0, errno.EINPROGRESS):
            sock.close()
            return None
        return cls(passage, endpoint, proxy, sock)

    def event(self, mask: int) -> None:
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.expire()
        else:
            self.endpoint.outstanding -= 1  # the tunnel counts for itself
            self._passage.connected(self)

    def expire(self) -> None:
        self.close()
        self._passage.not_connected(self)

    def _lost(self) -> None:
        self.endpoint.outstanding -= 1
