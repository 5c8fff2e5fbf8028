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

from ..errors import AgentNotRunning, Failed
from .failure import error_from

Show = Callable[[str], None]


def follow_events(connected: socket.socket, recent: int, show: Show) -> NoReturn:
    """Call `show` with each event, a JSON object as text: the last `recent`, then all that come.

    `connected` is a socket to the agent; it is closed at the end. Raises AgentNotRunning when the
    agent ends the stream, its VoltError if it refuses it, and whatever OSError `show` raises.
    """
    connected.setblocking(False)
    raise anyio.run(_follow, connected, recent, show, backend="trio")


async def _follow(connected: socket.socket, recent: int, show: Show) -> Exception:
    """Returns why it ended: raised in a nursery, the reason would come wrapped in a group."""
    async with trio.open_nursery() as nursery:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
        try:
            websocket = await wrap_client_stream(
                nursery, stream, "volt", f"/v1/events?recent={recent}"
            )
            while True:
                show(str(await websocket.get_message()))
        except ConnectionRejected as refused:
            reason: Exception = error_from(refused.status_code, refused.body or b"")
        except HandshakeError as error:
            reason = Failed(f"the agent does not speak WebSocket: {error!r}")
        except ConnectionClosed:
            reason = AgentNotRunning("the agent has ended the event stream")
        except OSError as error:
            reason = error
        nursery.cancel_scope.cancel()
    return reason
