"""One HTTP/1.1 connection: heads and bodies within limits, answers, pipelining, keep-alive.

h11 does the framing, `api` knows the answers; what is here is the order of things and the deadline
of each step. The phases of a connection say when it may be closed to make room for another::

    IDLE       between requests, or a head still incomplete   closed first
    READING    a body is on its way                           closed next
    STREAMING  events flow                                    closed after those
    ANSWERING  a handler runs, or its answer is being sent    never closed: it runs to its end
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import socket
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

import anyio
import h11
from msgspec import Struct
from wsproto.utilities import RemoteProtocolError as BadHandshake

from .api import Api, Request, Response, failure
from .event_log import EventQuery
from .event_stream import EventSocket, stream_lines, wants_websocket
from .peer import Peer
from .wire import Wire

log = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """What a client may take. Times in seconds, sizes in bytes.

    `idle` is between requests; `head` counts from the first byte of a head, `body` from its end;
    `send` is for an answer that the client does not take; `linger` is how long we listen to what
    nobody will read, so that the client sees our answer instead of a reset; `grace` is what is left
    to running handlers when the server stops. `connections` is per listener.
    """

    idle: float = 30.0
    head: float = 10.0
    body: float = 30.0
    send: float = 30.0
    linger: float = 2.0
    grace: float = 5.0
    # h11's default, too: a request that volt knows has a head of 200 bytes.
    head_size: int = 16384
    # The longest request that volt knows, a compose file, is a few ten kB.
    body_size: int = 1 << 20
    connections: int = 512


class Phase(enum.IntEnum):
    """Ordered by who goes first when room is needed."""

    IDLE = 0
    READING = 1
    STREAMING = 2
    ANSWERING = 3


class _UnreadableError(Exception):
    """A request that cannot be read to its end: `response` is sent, then the connection closes."""

    def __init__(self, response: Response) -> None:
        self.response = response


class Connection:
    """A client on an accepted socket. `since` is when it entered its phase, by `clock`."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer | None,
        api: Api,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.phase = Phase.IDLE
        self.since = clock()
        self._clock = clock
        self._wire = Wire(sock)
        self._peer = peer
        self._api = api
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_size)
        self._scope = anyio.CancelScope()
        self._answering: anyio.CancelScope | None = None
        self._stopping = False

    async def serve(self) -> None:
        """Answer requests until the client leaves, misbehaves, or has to make room."""
        with self._scope, contextlib.closing(self._wire):
            try:
                while await self._serve_one():
                    self._http.start_next_cycle()
            except (ConnectionError, TimeoutError) as gone:
                log.debug("%r: %s", self, gone or type(gone).__name__)

    def close(self) -> None:
        """Close now, or if a handler runs: after its answer, at the latest after the grace."""
        self._stopping = True
        if self._answering is None:
            self._scope.cancel()
        else:
            self._answering.deadline = anyio.current_time() + self._limits.grace

    async def _serve_one(self) -> bool:
        """Serve the next request; returns whether another one may follow."""
        self._enter(Phase.IDLE)
        try:
            head = await self._head()
            if head is None:
                return False
            if not head.http_version.startswith(b"1."):
                raise _UnreadableError(_UNKNOWN_VERSION)
            request = request_of(head, self._peer)
            refusal = self._api.refusal(request)
            body = await self._body(head, refusal)
        except _UnreadableError as error:
            return await self._give_up(error.response)
        except h11.RemoteProtocolError as error:
            return await self._give_up(failure(error.error_status_hint, "invalid", str(error)))
        response = await self._respond(request, refusal, body)
        if response is not None and response.stream is not None:
            await self._stream(head, response, response.stream)
            return False
        return response is not None and self._http.our_state is h11.DONE and not self._stopping

    async def _head(self) -> h11.Request | None:
        """The next head; None when the client leaves instead, or is silent for too long."""
        started = False
        with anyio.move_on_after(self._limits.idle) as patience:
            while not isinstance(event := self._http.next_event(), h11.Request):
                if isinstance(event, h11.ConnectionClosed):
                    return None
                if not started and self._http.trailing_data[0]:
                    started = True
                    patience.deadline = anyio.current_time() + self._limits.head
                self._http.receive_data(await self._wire.receive())
            return event
        if started:
            raise _UnreadableError(_too_slow("head", self._limits.head))
        return None

    async def _body(self, head: h11.Request, refusal: Response | None) -> bytes:
        """The whole body. A body that is too long, or that nobody wants, is not read at all."""
        self._enter(Phase.READING)
        length = declared_length(head)
        if refusal is not None and length != 0:
            raise _UnreadableError(refusal)
        if length is not None and length > self._limits.body_size:
            raise _UnreadableError(_too_large(self._limits.body_size))
        if self._http.they_are_waiting_for_100_continue:
            await self._wire.send(self._http.send(_CONTINUE) or b"")
        with anyio.move_on_after(self._limits.body):
            return await self._read_body()
        raise _UnreadableError(_too_slow("body", self._limits.body))

    async def _read_body(self) -> bytes:
        body = bytearray()
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body_size:
                    raise _UnreadableError(_too_large(self._limits.body_size))
                await asyncio.sleep(0)  # a read may hold ten thousand chunks of one byte
            else:
                self._http.receive_data(await self._wire.receive())
        return bytes(body)

    async def _respond(
        self, request: Request, refusal: Response | None, body: bytes
    ) -> Response | None:
        """Find the answer and send it, whatever the client does meanwhile.

        Returns it (one that streams is not sent yet), or None when the grace was over.
        """
        self._enter(Phase.ANSWERING)
        try:
            with anyio.CancelScope(shield=True) as self._answering:
                response = refusal or await self._api.answer(request, body)
                if response.stream is None:
                    await self._send(response, with_body=request.method != "HEAD")
                return response
            return None
        finally:
            self._answering = None

    async def _give_up(self, response: Response) -> bool:
        """The last answer on this connection, to a request that was not read to its end."""
        self._stopping = True
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(response)
            await self._wire.linger(self._limits.linger)
        return False

    async def _send(self, response: Response, *, with_body: bool = True) -> None:
        length = (b"content-length", b"%d" % len(response.body))
        data = self._response_head(response, length)
        if with_body:
            data += self._frame(response.body)
        data += self._http.send(h11.EndOfMessage()) or b""
        with anyio.fail_after(self._limits.send):
            await self._wire.send(data)

    def _response_head(self, response: Response, *more: tuple[bytes, bytes]) -> bytes:
        headers = [
            (b"date", formatdate(usegmt=True).encode()),
            (b"content-type", response.content_type.encode()),
            (b"cache-control", b"no-store"),
            *more,
        ]
        if response.allow is not None:
            headers.append((b"allow", response.allow.encode()))
        if self._stopping or response.stream is not None:
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(response.status).phrase.encode()
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        return self._http.send(head) or b""

    def _frame(self, body: bytes) -> bytes:
        return self._http.send(h11.Data(data=body)) or b""

    async def _stream(self, head: h11.Request, response: Response, wanted: EventQuery) -> None:
        self._enter(Phase.STREAMING)
        batches = self._api.events.follow(wanted.recent)
        if not wants_websocket(head.headers):
            await self._wire.send(self._response_head(response))
            return await stream_lines(self._wire, batches, self._frame)
        try:
            websocket = EventSocket(self._wire, head.headers, head.target)
        except BadHandshake as error:
            await self._give_up(failure(400, "invalid", f"not a WebSocket handshake: {error}"))
        else:
            await websocket.serve(batches, self._http.trailing_data[0])

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self._clock()

    def __repr__(self) -> str:
        return f"<Connection [{self._peer or 'TCP'}, {self.phase.name}]>"


def request_of(head: h11.Request, peer: Peer | None) -> Request:
    """The part of a head that decides. A target in absolute form (RFC 9112, 3.2.2) is allowed."""
    target = head.target.decode("latin-1")
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return Request(head.method.decode("latin-1"), path, query, peer)


def declared_length(head: h11.Request) -> int | None:
    """How long the body will be: 0 for none, None for a chunked one (RFC 9112, section 6.3)."""
    headers = dict(head.headers)
    if b"transfer-encoding" in headers:
        return None
    return int(headers.get(b"content-length", b"0"))


def _too_large(limit: int) -> Response:
    return failure(413, "too_large", f"the request body is longer than {limit} bytes")


def _too_slow(part: str, seconds: float) -> Response:
    return failure(408, "timeout", f"the {part} of the request took longer than {seconds:g} s")


_UNKNOWN_VERSION = failure(505, "invalid", "only HTTP/1.0 and HTTP/1.1 are spoken here")
_CONTINUE = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
