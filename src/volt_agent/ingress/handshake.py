"""From an accepted connection to one that is encrypted, passed through, or refused.

The first bytes are looked at without being taken (MSG_PEEK): so either OpenSSL or the backend finds
them where they were sent to. Until the handshake is over the poller tells of news only (EPOLLET):
what was looked at and lies there still is none.

A step of a handshake costs 0.1 to 1 ms (a key of 4096 bits: 5 ms), so whatever number of strangers
begins one, the poller's slices keep the loop going.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .client import Client
from .client_hello import (
    HELLO_MAX,
    NO_APPLICATION_PROTOCOL,
    UNRECOGNIZED_NAME,
    ClientHello,
    HelloReader,
    NotHello,
)
from .connection import WOULD_WAIT, Connection, secured
from .passthrough import Passage
from .poller import BROKEN, IN, OUT
from .targets import Target
from .tls_profile import PROTOCOL

if TYPE_CHECKING:
    from .proxy import Proxy

ContextFor = Callable[[bytes | None], ssl.SSLContext | None]

NEWS = IN | select.EPOLLRDHUP | select.EPOLLET
_PROTOCOL = PROTOCOL.encode()
_PLAIN_TEXT = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 36\r\n"
    b"Connection: close\r\n\r\n400 Bad Request: this port is https\n"
)


class Handshake(Connection):
    """A connection that has not said yet what it is, and has `limits.handshake` seconds to.
    `target` is what it is passed through to."""

    __slots__ = ("_passage", "_proxy", "_reader", "_seen", "_server_name", "address", "target")

    def __init__(self, proxy: Proxy, sock: socket.socket, address: str) -> None:
        super().__init__(proxy.poller, sock)
        self._proxy = proxy
        self.address = address
        self.target: Target | None = None
        self._reader: HelloReader | None = HelloReader()
        self._seen = 0
        self._passage: Passage | None = None
        self._server_name: bytes | None = None
        self.deadline = self.poller.now + proxy.limits.handshake
        self.poller.watch(self)

    @property
    def can_travel(self) -> bool:
        """Whether nothing was taken or decided yet."""
        return self._reader is not None and not self.is_closed

    def go_on(self) -> None:
        self.is_closed = False
        self.poller.watch(self)
        self.poller.add(self.fd, NEWS, self.event)

    def event(self, mask: int) -> None:
        if self._reader is not None:
            self._peek(self._reader, has_ended=bool(mask & select.EPOLLRDHUP))
        elif self._passage is None:
            self._shake(self._secure)
        elif mask & BROKEN:
            self.close()

    # ---- the ClientHello ------------------------------------------------------------------------

    def _peek(self, reader: HelloReader, *, has_ended: bool) -> None:
        try:
            data = self.sock.recv(HELLO_MAX + 1, socket.MSG_PEEK)
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        if len(data) == self._seen:
            if has_ended or not data:
                self.close()
            return
        try:
            hello = reader.feed(data[self._seen :])
        except NotHello as error:
            self._refuse(error.alert, is_plain=data[:1].isupper())
            return
        self._seen = len(data)
        if hello is not None:
            self._reader = None
            self._choose(hello)

    def _choose(self, hello: ClientHello) -> None:
        name = self._server_name = hello.server_name
        target = None if name is None else self._proxy.table.find_passthrough(name)
        if target is not None:
            self.target = target
            self._passage = Passage(self._proxy, self, target)
            self._passage.begin()
            return
        context = self._proxy.context_for(name)
        if context is None:
            self._refuse(UNRECOGNIZED_NAME)
        elif hello.protocols and _PROTOCOL not in hello.protocols:
            self._refuse(NO_APPLICATION_PROTOCOL)
        else:
            self._encrypt(context)

    def _refuse(self, alert: int, *, is_plain: bool = False) -> None:
        """Say why (RFC 8446, section 6: level fatal), and close. Somebody who speaks HTTP is told
        in HTTP."""
        self._proxy.on_refused("unknown_name" if alert == UNRECOGNIZED_NAME else "handshake")
        # What was only looked at is taken: a socket closed with unread input is reset, and the
        # client might not get to read the alert.
        try:
            self.sock.recv(HELLO_MAX + 1)
            self.sock.send(_PLAIN_TEXT if is_plain else bytes((21, 3, 1, 0, 2, 2, alert)))
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.close()

    # ---- the handshake --------------------------------------------------------------------------

    def _encrypt(self, context: ssl.SSLContext) -> None:
        try:
            self._secure = secured(context, self.sock)
        except (OSError, ValueError):
            self.close()
            return
        self._shake(self._secure)

    def _shake(self, secure: Any) -> None:
        """One step of the handshake."""
        try:
            secure.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            # As much as a long chain and a small buffer need.
            self.poller.change(self.fd, NEWS | OUT)
            return
        except (OSError, ValueError):
            self._proxy.on_refused("handshake")
            self.close()
            return
        self._become_client()

    def _become_client(self) -> None:
        self.is_closed = True  # as far as this object is concerned
        self.poller.unwatch(self)
        client = Client(self._proxy, self.sock, self.address, self._secure, self._server_name)
        self._proxy.encrypted(self, client)
        self.poller.hand_over(self.fd, client.event)
        # From now on the poller tells of what lies there as well.
        self.poller.change(self.fd, IN)

    # ---- the end --------------------------------------------------------------------------------

    def _lost(self) -> None:
        if self._passage is not None:
            self._passage.client_lost()
        self._proxy.handshake_gone(self)
