"""The client's end: requests in, answers out, and everything a client may not do.

A connection is in one of these states::

    waiting   for the first byte of a request (`_is_waiting`)
    reading   a head is still incomplete (`_buffer`)
    busy      a request is with a backend (`is_busy`); what comes ahead waits in `_buffer`
    draining  the answer is complete but not all taken (`_output`): the next request has to wait
    leaving   the last answer is out; what still comes is read and forgotten (`_is_leaving`)

One request is begun at a time, and the next one only when the answer is out: what a client sends
without reading piles up on its own side.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..handover.connections import Waiting
from .backend import Backend
from .chunks import Chunks
from .connection import WOULD_WAIT, Connection, Data
from .forwarded import request_for, tail_for, trusted_request_for
from .heads import CHUNKED, HEAD_MAX, UNTIL_CLOSE, Refused, RequestHead, ResponseHead, read_request
from .poller import IN
from .table import Redirect
from .targets import Endpoint, Target
from .usual import Fields, read_fields, usual_line

if TYPE_CHECKING:
    from .proxy import Proxy

# RFC 9110, section 9.2.2: what may be asked twice.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
# Bytes read at first: the most that a TLS record has, so that what is decrypted never waits.
_HEAD_PIECE = 16_384
# Bytes of a request that are kept to send them to another backend.
_HELD_MAX = 65_536
_CHALLENGE = b"/.well-known/acme-challenge/"
_END, _LAST_END = b"\r\n", b"Connection: close\r\n\r\n"
_RETRY_AFTER = b"Retry-After: 5\r\n"
_NOTHING = bytes(4)  # an int for FIONREAD
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Client(Connection):
    """One connection of a client; `peer` is the backend that serves its request.

    Of the last request: `target` is what it was for, `method`, `path` and `host` what it asked,
    `started` when it was complete (monotonic), `received` and `sent` the bytes of its body and of
    the answer's, `status` what was answered (499: the client went before), `endpoint` who was asked
    last, `answered_at` when the answer's head came, if before the rest of it (else 0), `fields` the
    header fields, until it is finished. `body_left` is what is still to come of its body in bytes,
    CHUNKED while that is not known. `is_simple`: the answer may be passed on as it is.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_ends_by_close",
        "_held",
        "_is_answering",
        "_is_leaving",
        "_is_waiting",
        "_keeps",
        "_lingers",
        "_moved",
        "_server_name",
        "_since",
        "_tail",
        "_tried",
        "_upgrade",
        "address",
        "answered_at",
        "body_left",
        "endpoint",
        "fields",
        "host",
        "is_busy",
        "is_head",
        "is_http10",
        "is_simple",
        "is_trusted",
        "method",
        "path",
        "proxy",
        "received",
        "sent",
        "started",
        "status",
        "target",
    )

    peer: Backend | None
    target: Target | None
    endpoint: Endpoint | None

    def __init__(
        self,
        proxy: Proxy,
        sock: socket.socket,
        address: str,
        secure: Any = None,
        server_name: bytes | None = None,
    ) -> None:
        """`server_name` is the one that TLS was begun for (lower case), if any."""
        super().__init__(proxy.poller, sock, secure)
        self.proxy = proxy
        self.address = address
        self._server_name = server_name
        self.is_trusted = proxy.trusts(address)
        self._tail = tail_for(address, is_tls=self.is_tls)
        self._is_waiting = True
        self.is_busy = self._is_leaving = False
        self._buffer = b""
        self._held: bytes | None = None  # the request so far, while it can still be sent elsewhere
        self._tried: tuple[Endpoint, ...] = ()
        self._moved = 0  # bytes of the request's body since the last look
        self._since = self.started = self.poller.now
        self._begin(b"", b"", b"")
        self.deadline = self.poller.now + proxy.limits.head
        self.poller.watch(self)

    @property
    def is_owed(self) -> bool:
        """Whether it waits for an answer, or for the rest of one."""
        return self.is_busy or bool(self._output)

    @property
    def is_spent(self) -> bool:
        """Whether it was served and has asked for nothing since. Of one that was only just accepted
        the request is on its way."""
        return self._is_waiting and bool(self.method) and not self._has_input()

    # ---- from process to process ----------------------------------------------------------------

    @classmethod
    def adopt(cls, proxy: Proxy, sock: socket.socket, state: Waiting) -> Client:
        """A client that was another process's."""
        client = cls(proxy, sock, state.address)
        client._buffer, client._output = state.ahead, state.output
        client._is_waiting = False
        client.poller.add(client.fd, IN, client.event)
        client._next()
        client.deadline = min(client.deadline, client.poller.now + state.seconds)
        return client

    @property
    def _leaves_later(self) -> bool:
        """Whether it goes to the process that takes our place, once it is between two requests."""
        return self.proxy.has_successor and not self.is_tls

    @property
    def can_travel(self) -> bool:
        """Whether it is plain and between two requests."""
        return not (self.is_tls or self.is_busy or self._is_leaving or self.is_closed)

    def state(self) -> Waiting:
        """What another process has to know of it; halted before."""
        assert isinstance(self._output, bytes)
        seconds = self.deadline - self.poller.now
        return Waiting(self.address, self._buffer, self._output, seconds)

    def go_on(self) -> None:
        super().go_on()
        if self._buffer and not self._reads and not self._output:
            self.poller.soon(self._go_on)

    # ---- reading --------------------------------------------------------------------------------

    def event(self, mask: int) -> None:
        """The usual case in one piece: a whole head as nearly everybody sends it and nothing else,
        an idle connection to a backend. Everything else takes the longer way."""
        if mask != IN or not self._is_waiting:
            super().event(mask)
            return
        try:
            data = self._recv(_HEAD_PIECE)
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        line = usual_line(data)
        fields = read_fields(data[line.end() :]) if line is not None else None
        if line is None or fields is None:
            self._arrived(data)
        else:
            method, path = line.groups()
            self._take_usual(method, path, fields, line[0])

    def _take_usual(self, method: bytes, path: bytes, fields: Fields, line: bytes) -> None:
        host, authority, passed, keep_alive = fields
        request = line + passed + self._tail
        self._is_waiting = False
        self._begin(method, path, host)
        self.fields = passed
        if not keep_alive:
            self._keeps = False
        table = self.proxy.table
        if self.is_tls:
            target: object = table.tls.find(host, path) if host == self._server_name else None
        else:
            target = None if path.startswith(_CHALLENGE) else table.find_plain(host, path)
        if not isinstance(target, Target) or target.hsts is not None or method not in _IDEMPOTENT:
            self._route(authority, request)
            return
        usable = target.usable
        endpoint = usable[0] if len(usable) == 1 else target.pick()
        if endpoint is None or not endpoint.idle:
            self._route(authority, request)
            return
        self.target, self._held, self._tried = target, request, ()
        self.endpoint = endpoint
        self.is_busy = True
        self.deadline = self.started + target.timeout
        self.peer = backend = endpoint.idle.pop()
        backend.serve_at_once(self, request)

    def _begin(self, method: bytes, path: bytes, host: bytes) -> None:
        """A request that is simple and has no body, as far as is known yet."""
        self.method, self.path, self.host = method, path, host
        self.started = self.poller.now
        self.target = self.endpoint = None
        self.fields, self.answered_at = b"", 0.0
        self.body_left = self.received = self.sent = self.status = 0
        self._keeps = not self.proxy.is_draining or self._leaves_later
        self.is_head = method == b"HEAD"
        self.is_simple = self._keeps and not self.is_head
        self.is_http10 = self._is_answering = self._ends_by_close = False
        self._upgrade: bytes | None = None
        self._chunks: Chunks | None = None

    def _readable(self) -> None:
        backend = self.peer
        try:
            if backend is not None and self.body_left > 0:
                count = self._pour(backend, self.body_left)
                if count is not None:
                    self._poured(count)
                    return
            data = self._receive()
        except WOULD_WAIT:
            return
        except OSError:
            self.close()
            return
        self._arrived(data)

    def _arrived(self, data: Data) -> None:
        self._is_waiting = False
        if not data:
            # Half a close is no way to ask for an answer in HTTP: nobody is there any more.
            self.close()
        elif self._is_leaving:
            pass
        elif self.is_busy:
            self._take_body(data)
        else:
            self._read_head(bytes(data))

    def _read_head(self, data: bytes) -> None:
        """Begin the request that `data` begins or goes on with."""
        is_first = not self._buffer
        data = self._buffer + data
        if not is_first and b"\n" not in data[len(self._buffer) :] and len(data) <= HEAD_MAX:
            self._buffer = data  # no line ends here: reading it again would tell nothing new
            return
        try:
            head = read_request(data)
        except Refused as error:
            self._buffer = b""
            self._begin(b"", b"", b"")
            self.refuse(error.status, error.reason)
            return
        if head is None:
            if is_first:
                self.deadline = self.poller.now + self.proxy.limits.head
            self._buffer = data
            return
        self._take_head(head)
        rest = data[head.size :]
        self._buffer = b"" if self.body_left else rest
        if self.is_trusted:
            request = trusted_request_for(head, self.address, is_tls=self.is_tls)
        else:
            request = request_for(head, self._tail)
        self._route(head.authority, request)
        if rest and self.body_left and self.is_busy:
            self._take_body(rest)

    def _take_head(self, head: RequestHead) -> None:
        self._begin(head.method, head.target, head.host)
        self.fields = head.passed
        self._keeps = self._keeps and head.keep_alive
        self.is_http10 = head.is_http10
        self.is_simple = self.is_simple and not head.is_http10
        self._upgrade = head.upgrade
        self.body_left = head.framing
        if head.framing == CHUNKED:
            self._chunks = Chunks()

    def _take_body(self, data: Data) -> None:
        """Pass on what belongs to the body; keep what is ahead of its turn."""
        rest: Data = b""
        if self._chunks is not None:
            try:
                end = self._chunks.feed(data)
            except Refused as error:
                self.refuse(error.status, error.reason)
                return
            if end >= 0:
                self._chunks, self.body_left = None, 0
                rest, data = data[end:], data[:end]
        else:
            rest, data = data[self.body_left :], data[: self.body_left]
            self.body_left -= len(data)
        self._buffer += rest
        if len(self._buffer) > self.proxy.limits.ahead:
            self.pause()
        if data:
            self._pass_on(data)

    def _poured(self, count: int) -> None:
        """So much of the body has gone on to the backend, unread."""
        if not count:
            self.close()
            return
        self.body_left -= count
        self._held = None
        self._note_body(count)

    def _note_body(self, count: int) -> None:
        self._moved += count
        self.received += count
        if not self.body_left and not self._is_answering and self.is_busy:
            self._await_progress()

    def _pass_on(self, data: Data) -> None:
        """A piece of the body, framed as the head said."""
        self._note_body(len(data))
        target, backend = self.target, self.peer
        limit = target.body_limit if target is not None else None
        if limit is not None and self.received > limit:
            self.refuse(413, "the body is longer than the route allows")
        elif backend is not None:
            held = self._held
            self._held = held + data if held is not None and self.received <= _HELD_MAX else None
            backend.write(data)

    # ---- finding a backend ----------------------------------------------------------------------

    def _route(self, authority: bytes, request: bytes) -> None:
        """Find out what answers, and have it answer."""
        host, path = self.host, self.path
        found: Target | Redirect | None
        if self.is_tls:
            found = self.proxy.table.find_tls(host, path)
            if found is not None and self._is_misdirected():
                self.refuse(421, "the certificate of this connection is not for it", closes=False)
                return
        else:
            if path.startswith(_CHALLENGE) and self.proxy.challenge is not None:
                key = self.proxy.challenge(host, path[len(_CHALLENGE) :])
                if key is not None:
                    self._say(200, b"", key)
                    return
            found = self.proxy.table.find_plain(host, path)
        if isinstance(found, Target):
            self._ask(found, request)
        elif found is None:
            self.refuse(404, "no route leads there", closes=False)
        else:
            self._redirect(authority)

    def _is_misdirected(self) -> bool:
        """Whether TLS was begun for a name whose certificate is another one than that of the host
        asked for (RFC 9110, section 15.5.20). Both as they are now: a renewal changes nothing."""
        host, name, context_for = self.host, self._server_name, self.proxy.context_for
        return host != name and context_for(host) is not context_for(name)

    def _ask(self, target: Target, request: bytes) -> None:
        self.target = target
        if target.body_limit is not None and self.body_left > target.body_limit:
            self.refuse(413, "the body is longer than the route allows")
            return
        self.is_busy = True
        self.is_simple = self.is_simple and target.hsts is None
        self._held, self._tried = request, ()
        self._moved = 0
        self._await_progress()
        self._dispatch()

    def _dispatch(self) -> None:
        """Send the request to the next endpoint."""
        target, request = self.target, self._held
        assert target is not None
        assert request is not None
        while True:
            endpoint = target.pick(self._tried)
            if endpoint is None:
                if self._tried:
                    self.refuse(502, "no backend could be reached")
                else:
                    self.refuse(503, "no backend is healthy", _RETRY_AFTER, closes=False)
                return
            try:
                backend = self._connection_to(endpoint)
            except OSError:
                # Our own descriptors, ports or memory have run out: not the backend's fault.
                self.proxy.relieve()
                self.refuse(503, "too many connections are open", _RETRY_AFTER)
                return
            self.endpoint = endpoint
            if backend is not None:
                break
            self.proxy.on_result(endpoint, False)
            self._tried = (*self._tried, endpoint)
        self.peer = backend
        backend.serve(self, request)

    def _await_progress(self) -> None:
        """Set the deadline for the rest of the body, or else for the answer."""
        assert self.target is not None
        limits = self.proxy.limits
        seconds = limits.progress if self.body_left else self.target.timeout
        self.deadline = self.poller.now + seconds

    def _connection_to(self, endpoint: Endpoint) -> Backend | None:
        idle = endpoint.idle
        while idle:
            backend: Backend = idle.pop()
            # What must not be asked twice goes only where somebody is still listening.
            if self.method in _IDEMPOTENT or backend.is_alive():
                return backend
            backend.close()
        return Backend.connect(self.poller, endpoint, self.proxy.limits.connect)

    def backend_absent(self, endpoint: Endpoint) -> None:
        """It could not be connected to: nothing was sent, another one may be."""
        self.proxy.on_result(endpoint, False)
        self._try_another(endpoint, "no backend could be reached")

    def backend_silent(self, backend: Backend) -> None:
        """It closed the connection without a byte of an answer."""
        reason = "the backend closed the connection without an answer"
        if self.method not in _IDEMPOTENT:
            self.answer_broken(reason)
        elif backend.is_reused:
            # It closed an idle connection at the moment we used it: nothing is wrong with it.
            self._try_another(None, reason)
        else:
            self.proxy.on_result(backend.endpoint, False)
            self._try_another(backend.endpoint, reason)

    def _try_another(self, tried: Endpoint | None, reason: str) -> None:
        """The deadline stays: a route's time-out is for all tries together."""
        if self._held is None:
            self.refuse(502, reason)
            return
        if tried is not None:
            self._tried = (*self._tried, tried)
        if not self._reads:
            self.resume()  # it was paused for the sake of the backend that is gone
        self._dispatch()

    # ---- answering ------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """1xx: passed on to those who know it (RFC 9110, section 15.2)."""
        self._held = None  # half an answer from one backend is not followed by one from another
        if not self.is_http10:
            self.write(head.passed + b"\r\n")

    def answered(self, head: ResponseHead, body: bytes) -> None:
        """A whole answer at once."""
        if self.is_simple:
            self.status = head.status
            answer = head.passed + (_END if self._keeps else _LAST_END) + body
        else:
            answer = self.head_of(head) + body
        self.sent = len(body)
        try:
            sent = 0 if self._output else self._send(answer)
        except OSError:  # also where it would have to wait: `write` finds out again
            sent = 0
        if sent != len(answer):
            self.write(answer[sent:])
        self.done()

    def answer(self, head: ResponseHead, body: bytes) -> None:
        """The head of the answer, and what came of the body with it."""
        self._is_answering = True
        self._held = None
        self.answered_at = self._since = self.poller.now
        self._written = 0
        self.deadline = self._since + self.proxy.limits.progress
        self.sent = len(body)
        self.write(self.head_of(head) + body)

    def head_of(self, head: ResponseHead) -> bytes:
        """What this client gets of it."""
        self.status = head.status
        passed = head.passed
        if head.framing == UNTIL_CLOSE or (head.framing == CHUNKED and self.is_http10):
            self._ends_by_close, self._keeps = True, False
            if self.is_http10:
                passed = _without_coding(passed)
        target = self.target
        if self.is_tls and target is not None and target.hsts is not None:
            passed += b"Strict-Transport-Security: max-age=%d\r\n" % target.hsts
        if self.proxy.is_draining and not self._leaves_later:
            self._keeps = False
        if not self._keeps:
            passed += b"Connection: close\r\n"
        elif self.is_http10:
            passed += b"Connection: keep-alive\r\n"
        return passed + b"\r\n"

    def answer_body(self, data: Data) -> None:
        """A piece of the answer's body, framed as the head says."""
        self.note_answer(len(data))
        self.write(data)

    def note_answer(self, count: int) -> None:
        """So much more of the answer's body has come."""
        self.sent += count
        self._since = self.poller.now

    def done(self) -> None:
        """The answer is complete."""
        if self.is_closed:
            return
        self.is_busy = False
        self._held = None
        proxy = self.proxy
        if proxy.observer is not None:
            proxy.observer.finished(self, self.target)
        self.fields = b""
        if self.body_left or not self._keeps:
            # The rest of a body is not worth reading, only waiting for.
            self._leave(lingers=bool(self.body_left or self._buffer))
        elif self._output or self._buffer or not self._reads:
            self._next()
        else:
            self._is_waiting = True
            self.deadline = self.poller.now + proxy.limits.idle

    def _next(self) -> None:
        """Go on with what has come meanwhile, once the last answer is out."""
        limits, now = self.proxy.limits, self.poller.now
        if self._output:
            self._written = 0
            self.deadline = now + limits.progress
            self.pause()
            return
        self.deadline = now + limits.idle
        if self._buffer:
            # In another turn: a thousand small requests may have come in one piece.
            self.pause()
            self.poller.soon(self._go_on)
        else:
            self._is_waiting = True
            self.resume()

    def _drained(self) -> None:
        if not self.is_busy and not self._is_leaving:
            self._next()

    def _go_on(self) -> None:
        if not (self.is_closed or self.is_busy or self._is_leaving):
            data, self._buffer = self._buffer, b""
            self.resume()
            self._read_head(data)

    def answer_broken(self, reason: str) -> None:
        """There will be no answer, or no more of it."""
        if not self._is_answering:
            self.refuse(502, reason)
        elif self.is_busy:
            # The client learns it from the missing end, or from a reset where the end is the end.
            if self._ends_by_close:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.is_busy = False
            self.proxy.finished(self, self.target)
            self.close()

    def refuse(self, status: int, reason: str, fields: bytes = b"", *, closes: bool = True) -> None:
        """Answer with `status` ourselves."""
        self._drop_backend()
        if self._is_answering:
            self.answer_broken(reason)
            return
        if closes:
            self._keeps = False
        self._say(status, fields, f"{status} {HTTPStatus(status).phrase}: {reason}\n".encode())

    def _redirect(self, authority: bytes) -> None:
        if not authority:
            self.refuse(400, "without a host there is nowhere to be sent")
            return
        path = b"/" if self.path == b"*" else self.path
        location = b"https://%b%b" % (self.proxy.https_authority(authority), path)
        self._say(308, b"Location: %b\r\n" % location, b"")

    def _say(self, status: int, fields: bytes, body: bytes) -> None:
        """The only answer to this request. What is left of its body is not waited for: nobody could
        tell it from the next request."""
        if self.is_closed:
            return
        self.status = status
        if self.body_left or self.is_http10:
            self._keeps = False
        if self.proxy.is_draining and not self._leaves_later:
            self._keeps = False
        head = b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b%b\r\n" % (
            status,
            HTTPStatus(status).phrase.encode(),
            len(body),
            fields,
            b"" if self._keeps else b"Connection: close\r\n",
        )
        self.sent = len(body)
        self.write(head if self.is_head else head + body)
        if self.is_closed:
            return
        self.is_busy = False
        self.proxy.finished(self, self.target)
        self.fields = b""
        if self._keeps:
            self._next()
        else:
            self._leave()

    # ---- upgrades -------------------------------------------------------------------------------

    def upgrade(self, backend: Backend, head: ResponseHead, rest: bytes) -> bool:
        """Go over to another protocol; False if that was not asked for."""
        if self._upgrade is None or self.body_left:
            return False
        upgrade = head.upgrade or self._upgrade
        fields = b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade
        self.status = 101
        self._is_answering = True
        backend.release()
        self.write(head.passed + fields + rest)
        if self.is_closed:
            backend.close()
            return True
        ahead, self._buffer = self._buffer, b""
        self.is_busy = False
        self.proxy.finished(self, self.target)
        self.proxy.tunnel(self, backend, self.target, ahead)
        return True

    # ---- the end --------------------------------------------------------------------------------

    def _leave(self, *, lingers: bool = True) -> None:
        """Close so that the client can still read the last answer: a socket that is closed with
        unread input is reset (RFC 9112, section 9.6). Who has said all need not be waited for."""
        if self.is_closed:
            return
        self._is_leaving, self._is_waiting, self._lingers = True, False, lingers
        self._buffer = b""
        self._written = 0
        self.deadline = self.poller.now + self.proxy.limits.progress
        self.resume()
        self.finish()

    def _output_done(self) -> None:
        if not self._lingers and not self.is_tls and not self._has_input():
            self.close()
            return
        self.deadline = self.poller.now + self.proxy.limits.linger
        try:
            if self._secure is not None:
                # Says that this is the end; does not wait for the other's.
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._secure.shutdown()
            self.sock.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            self.close()

    def _has_input(self) -> bool:
        # Not by looking (MSG_PEEK): nearly always nothing is there, and the exception costs more.
        try:
            return fcntl.ioctl(self.fd, termios.FIONREAD, _NOTHING) != _NOTHING
        except OSError:
            return False

    def _drop_backend(self) -> None:
        backend = self.peer
        if backend is not None:
            backend.release()
            backend.close()

    def _lost(self) -> None:
        self._drop_backend()
        if self.is_busy:
            self.is_busy = False
            self.status = self.status or 499  # as nginx logs a client that went
            self.proxy.finished(self, self.target)
        self.proxy.client_gone(self)

    def expire(self) -> None:
        if self.is_busy:
            self._expire_busy()
        elif self._output:
            self._shed_if_slow()
        elif self._buffer and self._reads:
            self._begin(b"", b"", b"")
            self.refuse(408, "the head of the request took too long")
        else:
            self.close()

    def _expire_busy(self) -> None:
        assert self.target is not None
        if self._output:
            self._shed_if_slow()
        elif self.body_left:
            self._shed_slow_upload()
        elif not self._is_answering:
            self.refuse(504, "the backend took too long to answer")
        elif self.poller.now - self._since >= self.target.timeout:
            self.answer_broken("the backend stopped within its answer")
        else:
            self.deadline = self.poller.now + self.proxy.limits.progress

    def _shed_if_slow(self) -> None:
        """Whether the client takes what it asked for."""
        limits = self.proxy.limits
        taken, self._written = self._written, 0
        if taken < limits.progress_bytes:
            self.close()
        else:
            self.deadline = self.poller.now + limits.progress

    def _shed_slow_upload(self) -> None:
        limits = self.proxy.limits
        moved, self._moved = self._moved, 0
        if not self._reads:
            self.refuse(504, "the backend does not take the request")
        elif moved < limits.progress_bytes:
            self.refuse(408, "the body of the request took too long")
        else:
            self.deadline = self.poller.now + limits.progress


def _without_coding(passed: bytes) -> bytes:
    lines = passed.split(b"\r\n")
    return b"\r\n".join(
        each for each in lines if not each.lower().startswith(b"transfer-encoding:")
    )
