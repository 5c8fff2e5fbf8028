"""The backend's end: connecting, answers, and going back to the pool."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from .chunks import Chunks
from .connection import WOULD_WAIT, Connection, Data
from .heads import CHUNKED, UNTIL_CLOSE, Refused, ResponseHead, read_response
from .pipes import Pipe
from .poller import IN, NEVER, OUT, Poller
from .targets import Endpoint
from .usual import read_answer

if TYPE_CHECKING:
    from .client import Client

_AT_HEAD = -3  # `_left` while the head of the answer is still to come
# Bytes of an answer read at first. Most heads come with their body in less.
_FIRST_PIECE = 16_384
# 1xx answers in one piece of input; a flood of them would hold up everybody else.
_INTERIM_MAX = 16
# Troubles of this host, not of the backend.
_OURS = frozenset((errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EPERM))


class Backend(Connection):
    """One connection to an endpoint; `peer` is the client whose request it serves, None in the
    pool. `is_reused`: it has served another request before."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_is_connecting",
        "_is_deaf",
        "_keeps",
        "_left",
        "endpoint",
        "is_reused",
    )

    peer: Client | None

    def __init__(self, poller: Poller, sock: socket.socket, endpoint: Endpoint) -> None:
        super().__init__(poller, sock)
        self.endpoint = endpoint
        self.is_reused = False
        self._is_connecting = False
        self._is_deaf = False  # it takes no more of the request, but may still answer
        self._keeps = True
        self._buffer = b""
        self._chunks: Chunks | None = None
        self._left = _AT_HEAD

    @classmethod
    def connect(cls, poller: Poller, endpoint: Endpoint, within: float) -> Backend | None:
        """A connection that is being made, given up `within` seconds; None if that is refused at
        once. Raises OSError if this host is out of descriptors, ports or memory."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = sock.connect_ex(endpoint.address)
        if error not in (0, errno.EINPROGRESS):
            sock.close()
            if error in _OURS:
                raise OSError(error, "cannot connect to anybody")
            return None
        backend = cls(poller, sock, endpoint)
        backend._is_connecting = True
        backend._mask = IN | OUT
        backend.deadline = poller.now + within
        poller.add(backend.fd, backend._mask, backend._connecting)
        poller.watch(backend)
        return backend

    # ---- a request ------------------------------------------------------------------------------

    def serve(self, client: Client, request: bytes) -> None:
        """Take `request` of `client`."""
        if not self._is_connecting:
            self.serve_at_once(client, request)
            return
        self.peer = client
        self.endpoint.outstanding += 1
        self._output = request
        if client.body_left:
            client.pause()

    def serve_at_once(self, client: Client, request: bytes) -> None:
        """The same out of the pool, where there is nothing else to send."""
        self.peer = client
        self.endpoint.outstanding += 1
        self.deadline = NEVER
        try:
            sent = self._send(request)
        except OSError:  # also where it would have to wait: `write` finds out again
            sent = 0
        if sent != len(request):
            self.write(request[sent:])

    def is_alive(self) -> bool:
        """Whether a pooled connection is still open on the other side, as far as can be known."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # closed, or an answer that nobody asked for

    def release(self) -> Client | None:
        """Let go of the client; returns it."""
        client = self.peer
        if client is not None:
            self.peer = client.peer = None
            self.endpoint.outstanding -= 1
        return client

    def write(self, data: Data) -> None:
        if not self._is_deaf:
            super().write(data)

    def _pass_on_pipe(self, pipe: Pipe) -> None:
        if self._is_deaf:
            self.poller.pipes.release(pipe)
        else:
            super()._pass_on_pipe(pipe)

    def _cannot_write(self) -> None:
        # It may have answered before it closed: that is still to be read.
        self._is_deaf = True
        self._keeps = False
        self._discard_output()
        self._adjust()
        if self.peer is not None:
            self.peer.resume()

    # ---- events ---------------------------------------------------------------------------------

    def _connecting(self, mask: int) -> None:
        """The handler until the connection is made or refused."""
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._give_up()
        elif mask & OUT and self._is_connected():
            self._is_connecting = False
            self.deadline = NEVER
            self.poller.hand_over(self.fd, self.event)
            if not self._output:
                self._adjust()
            self.event(mask)

    def _is_connected(self) -> bool:
        # The event may have been meant for the former owner of the descriptor.
        try:
            self.sock.getpeername()
        except OSError:
            return False
        return True

    def event(self, mask: int) -> None:
        """The usual case in one piece: a whole answer with a usual head."""
        client = self.peer
        if (
            mask != IN
            or client is None
            or self._left != _AT_HEAD
            or self._buffer
            or not client.is_simple
            or not self._reads
        ):
            super().event(mask)
            return
        try:
            data = self._recv(_FIRST_PIECE)
        except WOULD_WAIT:
            return
        except OSError:
            self._ended(client, is_clean=False)
            return
        head = read_answer(data)
        if head is not None and len(data) - head.size == head.framing:
            self._release_to_pool()
            client.answered(head, data[head.size :])
        elif head is not None and len(data) - head.size < head.framing:
            self._begin_body(head, data, client)
        elif data:
            self._read_head(data, client)
        else:
            self._ended(client, is_clean=True)

    def expire(self) -> None:
        if self._is_connecting:
            self._give_up()
        else:
            self.close()

    def _give_up(self) -> None:
        client = self.release()
        self.close()
        if client is not None:
            client.backend_absent(self.endpoint)

    def _readable(self) -> None:
        client = self.peer
        if client is None:
            self.close()
            return
        try:
            if self._left > 0 and (count := self._pour(client, self._left)) is not None:
                self._poured(count, client)
                return
            data = self._receive()
        except WOULD_WAIT:
            return
        except OSError:
            self._ended(client, is_clean=False)
            return
        if not data:
            self._ended(client, is_clean=True)
        elif self._left == _AT_HEAD:
            self._read_head(bytes(data), client)
        else:
            self._read_body(data, client)

    def _poured(self, count: int, client: Client) -> None:
        """So much of the body has gone on to the client."""
        self._left -= count
        client.note_answer(count)
        if not count:
            self._ended(client, is_clean=True)
        elif not self._left and self.peer is client:
            self._complete()

    def _ended(self, client: Client, *, is_clean: bool) -> None:
        """No more comes; `is_clean` unless the connection was reset."""
        self._keeps = False
        if self._left == UNTIL_CLOSE and is_clean:
            self._complete()
            return
        self.release()
        self.close()
        if self._left == _AT_HEAD and not self._buffer:
            client.backend_silent(self)
        else:
            client.answer_broken("the backend closed the connection within its answer")

    def _lost(self) -> None:
        if self.peer is None:
            with contextlib.suppress(ValueError):
                self.endpoint.idle.remove(self)
        else:
            client = self.release()
            if client is not None:
                client.answer_broken("the connection to the backend was lost")

    # ---- answers --------------------------------------------------------------------------------

    def _read_head(self, data: bytes, client: Client) -> None:
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        for _ in range(_INTERIM_MAX):
            try:
                head = read_response(data, to_head=client.is_head)
            except Refused as error:
                self._fail(client, error.reason)
                return
            if head is None:
                self._buffer = data
                return
            rest = data[head.size :]
            if head.status >= 200:
                break
            if head.status == 101:
                if not client.upgrade(self, head, rest):
                    self._fail(client, "the backend upgraded what nobody asked it to")
                return
            client.interim(head)
            data = rest
            if self.peer is not client:
                return
        else:
            self._fail(client, "the backend sent too many interim answers")
            return
        self._keeps = self._keeps and head.keep_alive
        self._left = head.framing
        if head.framing == CHUNKED:
            self._chunks = Chunks(collect=client.is_http10)
        if 0 <= head.framing <= len(rest):
            self._answer_at_once(head, rest, client)
            return
        client.answer(head, b"")
        if self.peer is client:
            self._read_body(rest, client)

    def _answer_at_once(self, head: ResponseHead, body: bytes, client: Client) -> None:
        if len(body) > head.framing:
            # More than it announced: the rest is nobody's, and so is the connection.
            body, self._keeps = body[: head.framing], False
        self._release_to_pool()
        client.answered(head, body)

    def _begin_body(self, head: ResponseHead, data: bytes, client: Client) -> None:
        """The first piece of a usual answer: head and body leave together."""
        self._left = head.framing - (len(data) - head.size)
        client.answer(head, data[head.size :])

    def _read_body(self, data: Data, client: Client) -> None:
        left = self._left
        if left >= 0:
            if len(data) > left:
                # More than it announced: the rest is nobody's, and so is the connection.
                data, self._keeps = data[:left], False
            self._left = left - len(data)
            if data:
                client.answer_body(data)
            if not self._left and self.peer is client:
                self._complete()
        elif left == CHUNKED:
            self._read_chunks(data, client)
        elif data:
            client.answer_body(data)

    def _read_chunks(self, data: Data, client: Client) -> None:
        assert self._chunks is not None
        try:
            end = self._chunks.feed(data) if data else -1
        except Refused as error:
            self._fail(client, error.reason)
            return
        if 0 <= end < len(data):
            data, self._keeps = data[:end], False
        if client.is_http10:
            data = b"".join(self._chunks.payload)
        if data:
            client.answer_body(data)
        if end >= 0 and self.peer is client:
            self._chunks = None
            self._complete()

    def _fail(self, client: Client, reason: str) -> None:
        self.release()
        self.close()
        client.answer_broken(reason)

    def _complete(self) -> None:
        client = self.peer
        assert client is not None
        self._release_to_pool()
        client.done()

    def _release_to_pool(self) -> None:
        client, endpoint = self.peer, self.endpoint
        assert client is not None
        self.peer = client.peer = None
        endpoint.outstanding -= 1
        if endpoint.is_doubted:
            client.proxy.on_result(endpoint, True)
        limits, idle = client.proxy.limits, endpoint.idle
        # A request that was answered before all of it was sent is still going on at the other side:
        # whatever came next here would be taken for the rest of its body.
        is_over = not client.body_left and not self._output
        if self._keeps and is_over and len(idle) < limits.pool:
            self.is_reused = True
            self._left = _AT_HEAD
            self.deadline = self.poller.now + limits.pool_idle
            if not self._reads:
                self.resume()
            idle.append(self)
        else:
            self.close()
