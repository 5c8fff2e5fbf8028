"""A real control server on a real Unix socket and TCP port, for tests with blocking sockets.

with Rig() as rig:
    status, headers, body = rig.request("GET", "/healthz")
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.control.fake_agent import STATUS, FakeAgent
from volt_agent.bus import Bus
from volt_agent.control.api import Api, Handler, Probes
from volt_agent.control.client import Client
from volt_agent.control.connection import Limits
from volt_agent.control.event_log import EventLog
from volt_agent.control.metrics import Metrics
from volt_agent.control.peer import Access
from volt_agent.control.server import ControlServer
from volt_agent.control.sockets import Listener, bind_control_socket, bind_status_socket
from volt_agent.events import Event

# For anything that a test waits for; no test depends on how long it takes.
PATIENCE = 60.0

NOON = datetime(2026, 1, 2, 12, 0, 0, 123000, tzinfo=UTC)


class Rig:
    """The server runs in a thread with a loop of its own."""

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        limits: Limits | None = None,
        group: int | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="volt-rig-")
        os.chmod(self._folder.name, 0o755)
        self.path = str(Path(self._folder.name) / "agent.sock")
        self.agent = FakeAgent()
        self.ready: tuple[bool, list[str]] = (True, [])
        self.metrics = Metrics()
        self._listener = listener or bind_control_socket(self.path, group)
        tcp = bind_status_socket("127.0.0.1:0")
        self.address: tuple[str, int] = tcp.sock.getsockname()[:2]
        self._listeners = (self._listener, tcp)
        self._handlers = {**self.agent.handlers(), **(handlers or {})}
        self._limits = limits
        self._access = Access(os.geteuid(), group)
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="server")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._running.wait(PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"
        self._folder.cleanup()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bus = Bus()
        self.events = EventLog(self._bus, clock=lambda: NOON)
        api = Api(
            self._handlers,
            Probes(lambda: self.ready, lambda: STATUS, self.metrics.render),
            self.events,
            self._access,
            observe=self.metrics.observe_call,
        )
        self.server = ControlServer(api, self._listeners, limits=self._limits)
        self._task = asyncio.ensure_future(self.server.serve())
        self._running.set()
        await asyncio.wait([self._task])

    def stop(self) -> None:
        """Ask the server to stop; returns at once. It may have stopped already."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)

    def publish(self, *events: Event) -> None:
        """Publish on the bus, in the server's thread; returns when that is done."""
        done = threading.Event()

        def publish() -> None:
            for event in events:
                self._bus.publish(event)
            done.set()

        self._loop.call_soon_threadsafe(publish)
        assert done.wait(PATIENCE)

    def connected(self) -> int:
        """How many clients the control socket has, as the server says of itself."""
        found = re.search(r"rpc=True]>: (\d+)", repr(self.server))
        assert found is not None
        return int(found[1])

    def client(self, timeout: float = PATIENCE) -> Client:
        return Client((self.path,), timeout)

    def connect(self) -> socket.socket:
        """A raw connection to the control socket."""
        return self.client().connect()

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes and nothing more; everything that comes back until the server closes."""
        with self.connect() as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def request(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        over_tcp: bool = False,
    ) -> tuple[int, HTTPMessage, bytes]:
        """One request through another implementation of HTTP: status, headers, body."""
        connection = http.client.HTTPConnection("volt", timeout=PATIENCE)
        connection.sock = self._tcp() if over_tcp else self.connect()
        try:
            connection.request(verb, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def _tcp(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)


def read_all(sock: socket.socket) -> bytes:
    """Everything until the end; a reset counts as the end."""
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return bytes(received)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return once `condition` is true; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)
