"""Backends for judges: `python -m tests.conformance.echo HTTP WEBSOCKET` serves at these two ports.

By HTTP each request gets its own body back, or a MiB for /large; by WebSocket each message comes
back (trio-websocket).
"""

from __future__ import annotations

import sys
from contextlib import suppress

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

MESSAGE_MAX = 32 << 20  # the largest of the Autobahn cases is 16 MiB
LARGE = b"x" * (1 << 20)


async def echo_body(stream: trio.SocketStream) -> None:
    """Serve one connection: each answer is the body of its request, in one piece with its head."""
    connection = h11.Connection(h11.SERVER)
    with suppress(h11.ProtocolError, trio.BrokenResourceError):
        while isinstance(request := await _next(connection, stream), h11.Request):
            body = await _body(connection, stream)
            if request.target == b"/large":
                body = LARGE
            head = h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])
            parts: list[h11.Event] = [head, h11.Data(data=body), h11.EndOfMessage()]
            if request.method == b"HEAD":
                del parts[1]
            await stream.send_all(b"".join(connection.send(each) or b"" for each in parts))
            connection.start_next_cycle()
    await stream.aclose()


async def _body(connection: h11.Connection, stream: trio.SocketStream) -> bytes:
    body = b""
    while isinstance(event := await _next(connection, stream), h11.Data):
        body += bytes(event.data)
    return body


async def _next(connection: h11.Connection, stream: trio.SocketStream) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            await stream.send_all(connection.send(go_on) or b"")
        connection.receive_data(await stream.receive_some())
    return event


async def echo_messages(request: WebSocketRequest) -> None:
    """Serve one WebSocket until it is closed."""
    socket = await request.accept()
    try:
        while True:
            await socket.send_message(await socket.get_message())
    except ConnectionClosed:
        pass


async def main(http: int, websocket: int) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(http, host="0.0.0.0")
        nursery.start_soon(trio.serve_listeners, echo_body, listeners)
        await nursery.start(
            lambda task_status: serve_websocket(
                echo_messages,
                "0.0.0.0",
                websocket,
                ssl_context=None,
                max_message_size=MESSAGE_MAX,
                message_queue_size=16,
                task_status=task_status,
            )
        )
        print("ready", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
