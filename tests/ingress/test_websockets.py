"""WebSockets of a real client and a real server (trio-websocket) through the proxy."""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
    wrap_client_stream,
)

from tests.ingress.bench import WITHIN, bench
from tests.ingress.tls_bench import client_context, tls_bench

REFUSED = "/refused"
LARGE = b"\x00\xff" * 200_000


async def echo(request: WebSocketRequest) -> None:
    """Returns each message; "bye" is answered with a close."""
    if request.path == REFUSED:
        await request.reject(403, body=b"no")
        return
    socket = await request.accept(subprotocol=next(iter(request.proposed_subprotocols), None))
    try:
        while (message := await socket.get_message()) != "bye":
            await socket.send_message(message)
        await socket.aclose(4001, "bye")
    except ConnectionClosed:
        pass


class Server:
    """trio-websocket at `port` of loopback, in a thread with a loop of its own."""

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))
        self._thread.start()
        assert self._is_up.wait(WITHIN)

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0, None)
            self.port = server.port
            self._scope = nursery.cancel_scope
            self._is_up.set()

    def close(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(WITHIN)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    made = Server()
    yield ("127.0.0.1", made.port)
    made.close()


@contextmanager
def way(server: tuple[str, int], *, is_tls: bool) -> Iterator[tuple[int, ssl.SSLContext | None]]:
    """The port of a proxy that leads to `server`, and how to speak TLS there."""
    if not is_tls:
        with bench() as made:
            made.lead_to(server)
            yield made.address[1], None
        return
    with tls_bench(names=("127.0.0.1",)) as tls:
        tls.usable[b""] = tls.usable[b"127.0.0.1"]  # nobody names an address in a ClientHello
        tls.made.lead_to(server)
        context = client_context()
        context.set_alpn_protocols(["http/1.1"])
        yield tls.address[1], context


@asynccontextmanager
async def opened(
    port: int, path: str = "/", context: ssl.SSLContext | None = None
) -> AsyncIterator[WebSocketConnection]:
    """trio-websocket on a stream that is ours to close: its own it leaves open after a refusal."""
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="127.0.0.1")
    async with trio.open_nursery() as nursery:
        try:
            socket = await wrap_client_stream(
                nursery, stream, "127.0.0.1", path, subprotocols=["chat"]
            )
            yield socket
            await socket.aclose()
        finally:
            await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("is_tls", [False, True])
def test_messages_come_back(server: tuple[str, int], is_tls: bool) -> None:
    """Text, bytes, nothing and much, in order; pings are answered; the server's close arrives."""

    async def talk() -> None:
        async with opened(port, context=context) as socket:
            assert socket.subprotocol == "chat"
            for message in ("h\u00e9llo", b"\0", "", LARGE):
                await socket.send_message(message)
                assert await socket.get_message() == message
            await socket.ping(b"are you there")
            await socket.send_message("bye")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.get_message()
            assert closed.value.reason is not None
            assert (closed.value.reason.code, closed.value.reason.reason) == (4001, "bye")

    with way(server, is_tls=is_tls) as (port, context):
        trio.run(within, talk)


def test_a_crowd_of_sockets_is_kept_apart(server: tuple[str, int]) -> None:
    """20 at once: each gets its own messages back."""

    async def one(number: int) -> None:
        async with opened(port) as socket:
            for turn in range(5):
                await socket.send_message(f"{number}/{turn}")
            for turn in range(5):
                assert await socket.get_message() == f"{number}/{turn}"

    async def talk() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, number)

    with way(server, is_tls=False) as (port, _context):
        trio.run(within, talk)


def test_a_refusal_reaches_the_client(server: tuple[str, int]) -> None:
    """With its status and body, as an ordinary answer."""

    async def talk() -> None:
        with pytest.raises(ExceptionGroup) as group:
            async with opened(port, REFUSED):
                pass
        (refused,) = group.value.exceptions
        assert isinstance(refused, ConnectionRejected)
        assert (refused.status_code, refused.body) == (403, b"no")

    with way(server, is_tls=False) as (port, _context):
        trio.run(within, talk)


async def within(talk: Callable[[], Awaitable[None]]) -> None:
    with trio.fail_after(WITHIN):
        await talk()
