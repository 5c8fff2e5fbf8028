"""The control server: accepts, keeps count, makes room, stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence

import anyio

from .api import Api
from .connection import Connection, Limits, Phase
from .failure import error_body
from .peer import peer_of
from .sockets import Listener
from .wire import close_socket

log = logging.getLogger(__name__)

# What accept() says of a listener that will never work again. Everything else passes: a client that
# has gone already, or a shortage of descriptors or memory (accept(2), "Error handling").
_BROKEN = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP}
_PAUSE = 0.1

_BUSY_BODY = error_body("busy", "too many connections", "try again in a moment")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BUSY_BODY), _BUSY_BODY)
)


class ControlServer:
    """Serves `api` on its listeners, up to `limits.connections` clients on each."""

    def __init__(
        self,
        api: Api,
        listeners: Sequence[Listener],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._listeners = tuple(listeners)
        self._limits = limits or Limits()
        self._clock = clock
        self._connections: dict[Listener, set[Connection]] = {each: set() for each in listeners}
        self._accepting = anyio.CancelScope()
        self._wanted = anyio.Event()

    async def serve(self) -> None:
        """Serve until cancelled. Then idle clients are let go and running handlers finish first."""
        async with anyio.create_task_group() as group:
            try:
                while True:
                    with anyio.CancelScope() as self._accepting:
                        await self._accept_all(group)
                    await self._wanted.wait()
            finally:
                self._stop()

    def rest(self) -> None:
        """Accept nobody until `go_on`; who is there is served."""
        self._wanted = anyio.Event()
        self._accepting.cancel()

    def go_on(self) -> None:
        self._wanted.set()

    def leave(self) -> None:
        """Another process accepts from now on: let go of the listeners, serve who is there."""
        loop, listeners, self._listeners = asyncio.get_running_loop(), self._listeners, ()
        for each in listeners:
            close_socket(loop, each.sock)
            each.leave()

    async def _accept_all(self, group: anyio.abc.TaskGroup) -> None:
        async with anyio.create_task_group() as accepting:
            for listener in self._listeners:
                accepting.start_soon(self._accept, listener, group, name=repr(listener))

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            close_socket(loop, listener.sock)
            listener.close()
        for connections in self._connections.values():
            for connection in connections:
                connection.close()

    async def _accept(self, listener: Listener, group: anyio.abc.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # sock_accept does not wait where somebody is there already: without this pause, a
            # crowd at the door would have the loop for itself.
            await asyncio.sleep(0)
            try:
                sock, _ = await loop.sock_accept(listener.sock)
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                log.warning("cannot accept on %r: %s", listener, error.strerror)
                self._make_room(listener)
                await asyncio.sleep(_PAUSE)
                continue
            connection = self._admit(listener, sock)
            if connection is not None:
                group.start_soon(self._serve, listener, connection, name=repr(connection))

    def _admit(self, listener: Listener, sock: socket.socket) -> Connection | None:
        """Take in a new client; None, with a 503 for it, if everybody else is busy."""
        connections = self._connections[listener]
        if len(connections) >= self._limits.connections and not self._make_room(listener):
            with contextlib.suppress(OSError), sock:
                sock.setblocking(False)
                sock.send(_BUSY)
            return None
        peer = peer_of(sock) if listener.serves_rpc else None
        connection = Connection(sock, peer, self._api, self._limits, self._clock)
        connections.add(connection)
        return connection

    def _make_room(self, listener: Listener) -> bool:
        """Close one client of `listener`, if any may be closed."""
        connections = self._connections[listener]
        victim = choose_victim(connections)
        if victim is None:
            return False
        connections.discard(victim)
        victim.close()
        return True

    async def _serve(self, listener: Listener, connection: Connection) -> None:
        try:
            await connection.serve()
        except Exception:
            # One client's trouble is not the others': without this the task group would end.
            log.exception("%r failed unexpectedly", connection)
        finally:
            self._connections[listener].discard(connection)

    def __repr__(self) -> str:
        counts = ", ".join(f"{each!r}: {len(held)}" for each, held in self._connections.items())
        return f"<ControlServer [{counts}]>"


def choose_victim(connections: Iterable[Connection]) -> Connection | None:
    """Who goes first when room is needed: by phase, then the one that is in it for longest."""
    candidates = [each for each in connections if each.phase is not Phase.ANSWERING]
    return min(candidates, key=lambda each: (each.phase, each.since), default=None)
