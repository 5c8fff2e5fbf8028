"""`GET /v1/events` that follows: JSON lines, or a WebSocket for whoever asks for an Upgrade."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import anyio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from .wire import Wire

Headers = Iterable[tuple[bytes, bytes]]
Batches = AsyncIterator[list[bytes]]


def wants_websocket(headers: Headers) -> bool:
    """Whether a request proposes the WebSocket protocol (RFC 6455, section 4.1)."""
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in headers)


async def stream_lines(wire: Wire, batches: Batches, frame: Callable[[bytes], bytes]) -> None:
    """Send each batch as lines, put into the body by `frame`, until the client leaves."""

    async def pump() -> None:
        async for batch in batches:
            await wire.send(frame(b"".join(line + b"\n" for line in batch)))

    async def watch() -> None:
        while await wire.receive():
            pass

    await _until_either_ends(pump, watch)


class EventSocket:
    """The server's end of a WebSocket that carries events, one text message each."""

    def __init__(self, wire: Wire, headers: Headers, target: bytes) -> None:
        """Raises wsproto.utilities.RemoteProtocolError if the request is no proper handshake."""
        self._wire = wire
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._protocol.initiate_upgrade_connection(list(headers), target)

    async def serve(self, batches: Batches, already_received: bytes) -> None:
        """Accept, then send the events of `batches` until the client leaves or we are cancelled."""
        await self._send(AcceptConnection())
        self._protocol.receive_data(already_received)

        async def pump() -> None:
            async for batch in batches:
                await self._send(*(TextMessage(data=each.decode()) for each in batch))

        try:
            await _until_either_ends(pump, self._read)
        finally:
            if self._is_open():
                goodbye = CloseConnection(CloseReason.GOING_AWAY, "the agent closes this stream")
                self._wire.send_now(self._protocol.send(goodbye))

    async def _read(self) -> None:
        """Answer pings and the closing handshake; what else the client says does not matter."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, Ping | CloseConnection):
                    await self._send(event.response())
                if isinstance(event, CloseConnection):
                    return
            data = await self._wire.receive()
            if not data:
                return
            self._protocol.receive_data(data)

    async def _send(self, *events: Event) -> None:
        """Once the closing handshake has begun nothing may follow it (RFC 6455, section 5.5.1)."""
        data = b"".join(self._protocol.send(each) for each in events if self._may_send(each))
        await self._wire.send(data)

    def _may_send(self, event: Event) -> bool:
        return not isinstance(event, TextMessage | Ping) or self._is_open()

    def _is_open(self) -> bool:
        return self._protocol.state is ConnectionState.OPEN


async def _until_either_ends(*parts: Callable[[], Awaitable[None]]) -> None:
    """Run `parts` side by side until the first ends or loses its connection."""

    async def run(part: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(ConnectionError):
            await part()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for part in parts:
            group.start_soon(run, part, name=f"events {part.__name__}")
