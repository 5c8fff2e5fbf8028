"""One health check on its way: a connection, and a GET over it where the check has a path."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable

import h11

from .connection import WOULD_WAIT
from .health import Check
from .poller import IN, NEVER, OUT, PIECE, Poller

# Called once: whether the check passed and why it did not; None if we could not look at all.
Done = Callable[[bool | None, str | None], None]

# What says something about us, not about the backend: no descriptors, memory or ports are left.
_OURS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)


class Probe:
    """Calls `done` within `timeout` seconds (and a tick of the poller), unless closed before."""

    __slots__ = ("_check", "_done", "_http", "_poller", "_sock", "_timeout", "deadline")

    def __init__(self, poller: Poller, check: Check, timeout: float, done: Done) -> None:
        self._poller, self._check, self._timeout, self._done = poller, check, timeout, done
        self._sock: socket.socket | None = None
        self._http: h11.Connection | None = None
        self.deadline = NEVER

    def begin(self) -> None:
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._fail(error.errno or 0)
            return
        self._sock = sock
        result = sock.connect_ex(self._check.address)
        self._poller.add(sock.fileno(), OUT, self._connected)
        if result not in (0, errno.EINPROGRESS):
            self._fail(result)
            return
        self.deadline = time.monotonic() + self._timeout
        self._poller.watch(self)

    def close(self) -> None:
        """End it without a result."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._poller.unwatch(self)
            self._poller.remove(sock.fileno())
            sock.close()

    def expire(self) -> None:
        self._finish(False, f"no answer within {self._timeout:g} s")

    # ---- inside ---------------------------------------------------------------------------------

    def _finish(self, passed: bool | None, reason: str | None = None) -> None:
        self.close()
        self._done(passed, reason)

    def _fail(self, code: int) -> None:
        if code in _OURS:
            self._finish(None)
        else:
            self._finish(False, os.strerror(code).lower())

    def _connected(self, _mask: int) -> None:
        assert self._sock is not None
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(error)
        elif self._check.path is None:
            self._finish(True)
        else:
            self._ask(self._check.path)

    def _ask(self, path: str) -> None:
        assert self._sock is not None
        self._http = h11.Connection(h11.CLIENT)
        headers = [("Host", self._check.host), ("User-Agent", "volt-health"), ("Accept", "*/*")]
        headers.append(("Connection", "close"))
        request = h11.Request(method="GET", target=path, headers=headers)
        try:
            # A new connection takes a few hundred bytes at once.
            self._sock.send(
                (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
            )
        except OSError as error:
            self._fail(error.errno or 0)
            return
        self._poller.change(self._sock.fileno(), IN)
        self._poller.hand_over(self._sock.fileno(), self._readable)

    def _readable(self, _mask: int) -> None:
        assert self._sock is not None
        assert self._http is not None
        try:
            data = self._sock.recv(PIECE)
            if not data:
                self._finish(False, "it closes the connection without an answer")
                return
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._http.next_event()
        except WOULD_WAIT:
            return
        except OSError as error:
            self._fail(error.errno or 0)
            return
        except h11.RemoteProtocolError:
            self._finish(False, "its answer is not HTTP")
            return
        if isinstance(event, h11.Response):
            passed = event.status_code < 400
            self._finish(passed, None if passed else f"it answers {event.status_code}")
