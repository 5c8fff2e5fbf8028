"""A connected socket on the loop: receive and send, and never starve the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import anyio

# Also what bounds the work of one turn: h11 needs a microsecond for each byte of tiny chunks.
READ_SIZE = 16384


class Wire:
    """Raw bytes both ways. ConnectionError means that the peer is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()

    async def receive(self) -> bytes:
        """Some bytes, or none at the end.

        sock_recv does not wait where something is there already: without the pause, a client that
        sends faster than we read would have the loop for itself.
        """
        await asyncio.sleep(0)
        return await self._loop.sock_recv(self._sock, READ_SIZE)

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits for as long as the peer does not take it."""
        async with self._sending:
            await self._loop.sock_sendall(self._sock, data)

    def send_now(self, data: bytes) -> None:
        """Send `data` if that needs no waiting and is not in the middle of another send."""
        if not self._sending.locked():
            with contextlib.suppress(OSError):
                self._sock.send(data)

    async def linger(self, seconds: float) -> None:
        """Say that nothing more comes, then throw away what does, until the peer ends or in time.

        Closing at once would reset the connection while the peer still sends, and it might never
        see our answer.
        """
        with contextlib.suppress(OSError), anyio.move_on_after(seconds):
            self._sock.shutdown(socket.SHUT_WR)
            while await self.receive():
                pass

    def close(self) -> None:
        close_socket(self._loop, self._sock)


def close_socket(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Close a socket that the loop has waited for.

    A cancelled sock_recv or sock_accept forgets its file descriptor only in the loop's next turn.
    Closed before, the descriptor may by then be that of a new client, which would never be heard.
    """
    loop.remove_reader(sock)
    loop.remove_writer(sock)
    sock.close()
