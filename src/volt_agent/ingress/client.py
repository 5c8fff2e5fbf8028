"""The client's end: requests in, answers out, and everything a client may not do.

A connection is in one of three states::

    waiting   between requests, or with a head that is still incomplete
    busy      a request is with a backend (`_is_busy`)
    leaving   the last answer is out; what still comes is read and forgotten (`_is_leaving`)
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from .backend import Backend
from .chunks import Chunks
from .connection import PIECE, WOULD_WAIT, Connection
from .heads import CHUNKED, UNTIL_CLOSE, Refused, RequestHead, ResponseHead, read_request
from .poller import IN
from .table import Redirect
from .targets import Endpoint, Target

if TYPE_CHECKING:
    from .proxy import Proxy

# RFC 9110, section 9.2.2: what may be asked twice.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
_simple_line = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) (/[!\"$-~]*+) HTTP/1\.1\r\n").match
# The fields of requests seen before -> (host, authority, fields for the backend). Clients repeat
# them from one request to the next. No route is in it, so no change makes it wrong.
_seen: dict[bytes, tuple[bytes, bytes, bytes]] = {}
_SEEN_MAX, _SEEN_SIZE = 2048, 2048
_CHALLENGE = b"/.well-known/acme-challenge/"
_RETRY_AFTER = b"Retry-After: 5\r\n"


class Client(Connection):
    """One connection of a client; `peer` is the backend that serves its request."""

    __slots__ = (
        "_body_left",
        "_buffer",
        "_chunks",
        "_held",
        "_host",
        "_is_answering",
        "_is_busy",
        "_is_leaving",
        "_keeps",
        "_known",
        "_method",
        "_moved",
        "_path",
        "_received",
        "_sent",
        "_since",
        "_started",
        "_status",
        "_tail",
        "_target",
        "_tried",
        "_upgrade",
        "address",
        "is_head",
        "is_http10",
        "is_simple",
        "is_trusted",
        "proxy",
    )

    peer: Backend | None

    def __init__(self, proxy: Proxy, sock: socket.socket, address: str, *, is_tls: bool) -> None:
        super().__init__(proxy.poller, sock)
        self.proxy = proxy
        self.address = address
        self.is_tls = is_tls
        self.is_trusted = proxy.trusts(address)
        proto = b"https" if is_tls else b"http"
        self._tail = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n\r\n" % (
            address.encode(),
            proto,
        )
        self.is_head = self.is_http10 = False
        self.is_simple = True  # HTTP/1.1, kept open, no HEAD, no additions to the answer
        self._buffer = b""
        # What a trusted client says differs from one request to the next.
        self._known: Mapping[bytes, tuple[bytes, bytes, bytes]] = {} if self.is_trusted else _seen
        self._is_busy = self._is_leaving = self._is_answering = False
        self._keeps = True
        self._target: Target | None = None
        self._body_left = 0
        self._chunks: Chunks | None = None
        self._held: bytes | None = b""  # the request so far, while it can still be sent elsewhere
        self._tried: tuple[Endpoint, ...] = ()
        self._upgrade: bytes | None = None
        self._moved = 0  # bytes of the request's body since the last look
        self._received = self._sent = self._status = 0
        self._started = self._since = 0.0
        self._method = self._path = self._host = b""
        self.deadline = self.poller.now + proxy.limits.head
        self.poller.watch(self)

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    @property
    def target(self) -> Target | None:
        """What the last request was for."""
        return self._target

    # ---- reading --------------------------------------------------------------------------------

    def event(self, mask: int) -> None:
        """The usual case in one piece: fields that were seen before, a whole head and nothing else,
        an idle connection to a backend. Everything else takes the longer way."""
        if mask != IN or self._is_busy or self._buffer or self._is_leaving or not self._reads:
            super().event(mask)
            return
        try:
            data = self._recv(PIECE)
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        line = _simple_line(data)
        seen = self._known.get(data[line.end() :]) if line is not None else None
        if line is None or seen is None:
            self._arrived(data)
        else:
            method, path = line.groups()
            self._repeat(method, path, seen, line[0])
        if self.is_tls:
            self._read_on()

    def _repeat(
        self, method: bytes, path: bytes, seen: tuple[bytes, bytes, bytes], line: bytes
    ) -> None:
        """A request without a body, with fields seen before."""
        table, host = self.proxy.table, seen[0]
        request = line + seen[2] + self._tail
        self._started = time.monotonic()
        self._expect_no_body(method)
        target = None
        if self.is_tls:
            target = table.tls.find(host, path)
        elif not path.startswith(_CHALLENGE):
            target = table.plain.find(host, path)
        if target is None or target.hsts is not None or method not in _IDEMPOTENT:
            self._route(method, path, host, seen[1], request)
            return
        usable = target.usable
        endpoint = usable[0] if len(usable) == 1 else target.pick()
        if endpoint is None or not endpoint.idle:
            self._route(method, path, host, seen[1], request)
            return
        self._method, self._path, self._host = method, path, host
        self._target, self._held, self._tried = target, request, ()
        self._received = self._sent = self._status = 0
        self._is_busy, self._is_answering = True, False
        self.peer = backend = endpoint.idle.pop()
        self.deadline = self.poller.now + target.timeout
        backend.serve(self, request)

    def _readable(self) -> None:
        try:
            data = self._recv(PIECE)
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        self._arrived(data)
        if self.is_tls:
            self._read_on()

    def _arrived(self, data: bytes) -> None:
        if not data:
            self._input_ended()
        elif self._is_leaving:
            pass
        elif self._is_busy:
            self._take_body(data)
        else:
            self._serve(self._buffer + data if self._buffer else data)

    def _read_on(self) -> None:
        """What is decrypted already makes no event."""
        pending = getattr(self.sock, "pending", None)
        while self._reads and not self.is_closed and pending is not None and pending():
            self._readable()

    def _input_ended(self) -> None:
        # Half a close is no way to ask for an answer in HTTP: nobody is there any more.
        self.close()

    def _serve(self, data: bytes) -> None:
        """Begin requests from `data` until one is busy or incomplete."""
        while True:
            if not self._buffer and not self._is_busy:
                self.deadline = self.poller.now + self.proxy.limits.head
            self._buffer = b""
            self._started = time.monotonic()
            size = self._begin(data)
            if size < 0 or self.is_closed or self._is_leaving:
                if size < 0:
                    self._buffer = data
                return
            data = data[size:]
            if self._is_busy:
                if data and (self._body_left or self._chunks is not None):
                    self._take_body(data)
                else:
                    self._buffer = data
                return
            if not data:
                self.deadline = self.poller.now + self.proxy.limits.idle
                return

    def _begin(self, data: bytes) -> int:
        """Begin the request at the beginning of `data`; its head's size, -1 if incomplete."""
        line = _simple_line(data)
        try:
            head = read_request(data)
        except Refused as error:
            self.refuse(error.status, error.reason)
            return 0
        if head is None:
            return -1
        self._take_head(head)
        fields = b"X-Forwarded-Host: %b\r\nVia: 1.%c volt\r\n" % (
            head.authority,
            b"0" if head.is_http10 else b"1",
        )
        if line is not None and self._is_repeatable(head, data):
            if len(_seen) >= _SEEN_MAX:
                _seen.clear()
            start = line.end()
            _seen[data[start:]] = (head.host, head.authority, head.passed[start:] + fields)
        self._route(
            head.method, head.target, head.host, head.authority, self._request(head, fields)
        )
        return head.size

    def _is_repeatable(self, head: RequestHead, data: bytes) -> bool:
        return (
            head.size == len(data) <= _SEEN_SIZE
            and head.framing == 0
            and head.keep_alive
            and head.upgrade is None
            and not head.expects_continue
            and not head.forwarded
            and b"\nauthorization:" not in data.lower()
        )

    def _expect_no_body(self, method: bytes) -> None:
        self._keeps = not self.proxy.is_draining
        self.is_head = method == b"HEAD"
        self.is_http10 = False
        self.is_simple = self._keeps and not self.is_head
        self._upgrade = None
        self._body_left = 0

    def _take_head(self, head: RequestHead) -> None:
        self._expect_no_body(head.method)
        self._keeps = self._keeps and head.keep_alive
        self.is_http10 = head.is_http10
        self.is_simple = self._keeps and not self.is_head and not head.is_http10
        self._upgrade = head.upgrade
        if head.framing == CHUNKED:
            self._chunks = Chunks()
        else:
            self._body_left = head.framing

    def _request(self, head: RequestHead, fields: bytes) -> bytes:
        """What the backend gets of a head."""
        passed = head.passed
        if not head.authority:
            line = passed.index(b"\r\n") + 2
            passed = passed[:line] + b"Host: \r\n" + passed[line:]
        if head.upgrade is not None:
            fields += b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade
        if not (self.is_trusted and head.forwarded):
            return passed + fields + self._tail
        said = {name for name, _value in head.forwarded}
        lines = [b"%b: %b\r\n" % each for each in head.forwarded if each[0] != b"x-forwarded-for"]
        path = [value for name, value in head.forwarded if name == b"x-forwarded-for"]
        lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join([*path, self.address.encode()]))
        if b"x-forwarded-host" in said:
            fields = fields[fields.index(b"\r\n") + 2 :]
        if b"x-forwarded-proto" not in said:
            lines.append(b"X-Forwarded-Proto: %b\r\n" % (b"https" if self.is_tls else b"http"))
        return passed + fields + b"".join(lines) + b"\r\n"

    def _take_body(self, data: bytes) -> None:
        backend = self.peer
        if self._chunks is not None:
            try:
                end = self._chunks.feed(data)
            except Refused as error:
                self.refuse(error.status, error.reason)
                return
            rest = b""
            if end >= 0:
                self._chunks, rest, data = None, data[end:], data[:end]
        elif self._body_left:
            rest, data = data[self._body_left :], data[: self._body_left]
            self._body_left -= len(data)
        else:
            rest, data = data, b""
        self._buffer += rest
        if len(self._buffer) > self.proxy.limits.ahead:
            self.pause()
        if not self._body_left and self._chunks is None and not self._is_answering:
            self._await_next()
        if data:
            self._moved += len(data)
            self._received += len(data)
            limit = self._target.body_limit if self._target is not None else None
            if limit is not None and self._received > limit:
                self.refuse(413, "the body is longer than the route allows")
            elif backend is not None:
                if self._held is not None and self._held_is_small(data):
                    self._held += data
                else:
                    self._held = None
                backend.write(data)

    def _held_is_small(self, data: bytes) -> bool:
        return self._held is not None and len(self._held) + len(data) <= PIECE

    # ---- finding a backend ----------------------------------------------------------------------

    def _route(
        self, method: bytes, target: bytes, host: bytes, authority: bytes, request: bytes
    ) -> None:
        self._method, self._path, self._host = method, target, host
        self._received = self._sent = self._status = 0
        table = self.proxy.table
        found: Target | Redirect | None
        if self.is_tls:
            found = table.find_tls(host, target)
        else:
            if target.startswith(_CHALLENGE) and self.proxy.challenge is not None:
                key = self.proxy.challenge(host, target[len(_CHALLENGE) :])
                if key is not None:
                    self._say(200, b"", key)
                    return
            found = table.find_plain(host, target)
        if isinstance(found, Target):
            limit = found.body_limit
            self._target = found
            if limit is not None and self._body_left > limit:
                self.refuse(413, "the body is longer than the route allows")
                return
            self._is_busy = True
            self._is_answering = False
            self._held, self._tried = request, ()
            self.is_simple = self.is_simple and found.hsts is None
            self._dispatch()
        elif found is None:
            self._target = None
            self.refuse(404, "no route leads there", closes=False)
        else:
            self._redirect(authority, target)

    def _dispatch(self) -> None:
        """Send the request to the next endpoint."""
        target = self._target
        assert target is not None
        assert self._held is not None
        while True:
            endpoint = target.pick(self._tried)
            if endpoint is None:
                if self._tried:
                    self.refuse(502, "no backend could be reached")
                else:
                    self.refuse(503, "no backend is healthy", _RETRY_AFTER, closes=False)
                return
            backend = self._connection_to(endpoint)
            if backend is not None:
                break
            self.proxy.on_result(endpoint, False)
            self._tried = (*self._tried, endpoint)
        self.peer = backend
        self._await_next()
        backend.serve(self, self._held)

    def _await_next(self) -> None:
        """Set the deadline for the rest of the body, or else for the answer."""
        assert self._target is not None
        is_complete = not self._body_left and self._chunks is None
        seconds = self._target.timeout if is_complete else self.proxy.limits.progress
        self.deadline = self.poller.now + seconds

    def _connection_to(self, endpoint: Endpoint) -> Backend | None:
        idle = endpoint.idle
        while idle:
            backend: Backend = idle.pop()
            # What must not be asked twice goes only where somebody is still listening.
            if self._method in _IDEMPOTENT or backend.is_alive():
                return backend
            backend.close()
        return Backend.connect(self.poller, endpoint, self.proxy.limits.connect)

    def backend_absent(self, endpoint: Endpoint) -> None:
        """It could not be connected to: nothing was sent, another one may be."""
        self.proxy.on_result(endpoint, False)
        self._try_another(endpoint, "no backend could be reached")

    def backend_silent(self, backend: Backend) -> None:
        """It closed the connection without a byte of an answer."""
        if self._method not in _IDEMPOTENT:
            self.answer_broken("the backend closed the connection without an answer")
        elif backend.is_reused:
            # It closed an idle connection at the moment we used it: nothing is wrong with it.
            self._try_another(None, "the backend closed the connection without an answer")
        else:
            self.proxy.on_result(backend.endpoint, False)
            self._try_another(
                backend.endpoint, "the backend closed the connection without an answer"
            )

    def _try_another(self, tried: Endpoint | None, reason: str) -> None:
        if self._held is None:
            self.refuse(502, reason)
            return
        if tried is not None:
            self._tried = (*self._tried, tried)
        self._dispatch()

    # ---- answering ------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """1xx: passed on to those who know it (RFC 9110, section 15.2)."""
        if not self.is_http10:
            self.write(head.passed + b"\r\n")

    def answered(self, status: int, answer: bytes) -> None:
        """A whole answer at once, to a simple request."""
        self._status = status
        self._sent = size = len(answer)
        try:
            sent = 0 if self._output else self._send(answer)
        except OSError:  # also where it would have to wait: `write` finds out again
            sent = 0
        if sent != size:
            self.write(answer[sent:])
        self.done()

    def answer(self, head: ResponseHead) -> None:
        """The head of the answer."""
        self._is_answering = True
        self._held = None
        self._status = head.status
        passed = head.passed
        if head.framing == UNTIL_CLOSE:
            self._keeps = False
        elif head.framing == CHUNKED and self.is_http10:
            self._keeps = False
            passed = _without_coding(passed)
        target = self._target
        if self.is_tls and target is not None and target.hsts is not None:
            passed += b"Strict-Transport-Security: max-age=%d\r\n" % target.hsts
        if self.proxy.is_draining:
            self._keeps = False
        if not self._keeps:
            passed += b"Connection: close\r\n"
        elif self.is_http10:
            passed += b"Connection: keep-alive\r\n"
        self._since = self.poller.now
        self._written = 0
        self.deadline = self.poller.now + self.proxy.limits.progress
        self.write(passed + b"\r\n")

    def answer_body(self, data: bytes) -> None:
        """A piece of the answer's body, framed as the head says."""
        self._sent += len(data)
        self._since = self.poller.now
        self.write(data)

    def done(self) -> None:
        """The answer is complete."""
        self._is_busy = self._is_answering = False
        self._held = None
        proxy = self.proxy
        if proxy.observer is not None:
            proxy.observer.finished(self, self._target)
        if self._body_left or self._chunks is not None:
            self._chunks = None  # the rest of the body is not worth reading
            self._leave()
        elif not self._keeps:
            self._leave()
        else:
            self.deadline = self.poller.now + proxy.limits.idle
            if not self._reads:
                self.resume()
            if self._buffer and not self.is_closed:
                data, self._buffer = self._buffer, b""
                self._serve(data)

    def answer_broken(self, reason: str) -> None:
        """There will be no answer, or no more of it."""
        if self._is_answering:
            # The client learns it from the missing end.
            self.proxy.finished(self, self._target)
            self._is_busy = False
            self.close()
        else:
            self.refuse(502, reason)

    def refuse(self, status: int, reason: str, fields: bytes = b"", *, closes: bool = True) -> None:
        """Answer with `status` ourselves."""
        self._drop_backend()
        if self._is_answering:
            self.answer_broken(reason)
            return
        closes = closes or bool(self._body_left) or self._chunks is not None
        if closes:
            self._keeps = False
        self._say(status, fields, f"{status} {HTTPStatus(status).phrase}: {reason}\n".encode())

    def _redirect(self, authority: bytes, target: bytes) -> None:
        if self._body_left or self._chunks is not None:
            self._keeps = False
        self._target = None
        location = b"https://%b%b" % (self.proxy.https_authority(authority), target)
        self._say(308, b"Location: %b\r\n" % location, b"")

    def _say(self, status: int, fields: bytes, body: bytes) -> None:
        self._status = status
        if self.proxy.is_draining or self.is_http10:
            self._keeps = False
        head = b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b%b\r\n" % (
            status,
            HTTPStatus(status).phrase.encode(),
            len(body),
            fields,
            b"" if self._keeps else b"Connection: close\r\n",
        )
        self._sent = len(body)
        self.write(head if self.is_head else head + body)
        self._is_busy = False
        self.proxy.finished(self, self._target)
        if not self._keeps:
            self._leave()
        elif not self.is_closed:
            self.deadline = self.poller.now + self.proxy.limits.idle
            self.resume()

    # ---- upgrades -------------------------------------------------------------------------------

    def upgrade(self, backend: Backend, head: ResponseHead, rest: bytes) -> bool:
        """Go over to another protocol; False if that was not asked for."""
        if self._upgrade is None or self._body_left or self._chunks is not None:
            return False
        upgrade = head.upgrade or self._upgrade
        fields = b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade
        self._status = 101
        backend.release()
        self.write(head.passed + fields + rest)
        if self.is_closed:
            backend.close()
            return True
        ahead, self._buffer = self._buffer, b""
        self.proxy.finished(self, self._target)
        self.proxy.tunnel(self, backend, self._target, ahead)
        return True

    # ---- the end --------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Close so that the client can still read the last answer: a socket that is closed with
        unread input is reset (RFC 9112, section 9.6)."""
        if self.is_closed:
            return
        self._is_leaving = True
        self._buffer = b""
        self.deadline = self.poller.now + self.proxy.limits.linger
        self.resume()
        self.finish()

    def _output_done(self) -> None:
        if self.is_tls:
            self.close()
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def _drop_backend(self) -> None:
        backend = self.peer
        if backend is not None:
            backend.release()
            backend.close()

    def _lost(self) -> None:
        self._drop_backend()
        if self._is_busy:
            self._is_busy = False
            self._status = self._status or 499  # as nginx logs a client that went
            self.proxy.finished(self, self._target)
        self.proxy.client_gone(self)

    def expire(self) -> None:
        limits, now = self.proxy.limits, self.poller.now
        if self._is_leaving or not self._is_busy:
            if self._buffer and not self._is_leaving:
                self.refuse(408, "the head of the request took too long")
            else:
                self.close()
        elif self._body_left or self._chunks is not None:
            self._look_at_upload()
        elif not self._is_answering:
            self.refuse(504, "the backend took too long to answer")
        elif self._output:
            slow, self._written = self._written < limits.progress_bytes, 0
            if slow:
                self.close()
            else:
                self.deadline = now + limits.progress
        elif self._target is not None and now - self._since >= self._target.timeout:
            self.answer_broken("the backend stopped within its answer")
        else:
            self.deadline = now + limits.progress

    def _look_at_upload(self) -> None:
        assert self._target is not None
        moved, self._moved = self._moved, 0
        if not self._reads:
            self.refuse(504, "the backend does not take the request")
        elif moved < self.proxy.limits.progress_bytes:
            self.refuse(408, "the body of the request took too long")
        else:
            self.deadline = self.poller.now + self.proxy.limits.progress


def _without_coding(passed: bytes) -> bytes:
    lines = passed.split(b"\r\n")
    return b"\r\n".join(
        each for each in lines if not each.lower().startswith(b"transfer-encoding:")
    )
