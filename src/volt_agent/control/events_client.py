"""The live event stream, as `volt events --follow` reads it: a WebSocket over the control socket.

trio-websocket is the client, on anyio's trio backend; nothing else imports them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NoReturn

import anyio
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, wrap_client_stream

from ..errors import AgentNotRunning
from .failure import error_from

Show = Callable[[str], None]


def follow_events(connected: socket.socket, recent: int, show: Show) -> NoReturn:
    """Call `show` with each event, a JSON object as text: the last `recent`, then all that come.

    `connected` is a socket to the agent; it is closed at the end. Raises AgentNotRunning when the
    agent ends the stream, its VoltError if it refuses it, whatever OSError `show` raises, and
    KeyboardInterrupt at Ctrl-C.
    """
    connected.setblocking(False)
    raise anyio.run(_follow, connected, recent, show, backend="trio")


async def _follow(connected: socket.socket, recent: int, show: Show) -> BaseException:
    """Returns why it ended: what is raised in a nursery comes out of it wrapped in a group."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
    reason: BaseException = AgentNotRunning("the agent has ended the event stream")
    try:
        async with stream, trio.open_nursery() as nursery:
            target = f"/v1/events?recent={recent}"
            websocket = await wrap_client_stream(nursery, stream, "volt", target)
            while True:
                show(str(await websocket.get_message()))
    except* ConnectionClosed:
        pass
    except* ConnectionRejected as group:
        refused = group.exceptions[0]
        assert isinstance(refused, ConnectionRejected)
        reason = error_from(refused.status_code, refused.body or b"")
    except* (HandshakeError, OSError, KeyboardInterrupt) as group:
        reason = group.exceptions[0]
    return reason
