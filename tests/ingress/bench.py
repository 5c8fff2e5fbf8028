"""A proxy in a thread, origins that follow a script, and clients on plain sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from volt_agent.ingress.limits import Limits
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.proxy import Proxy
from volt_agent.ingress.table import RouteTable
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.model.route import Backend, Route

T = TypeVar("T")
WITHIN = 60.0  # seconds that anything may take


class Peer:
    """One end of a TCP connection, for scripts: whole heads and exact numbers of bytes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WITHIN)
        self.sock = sock
        self._ahead = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> bytes:
        """Everything up to and with the next empty line. Raises EOFError."""
        while b"\r\n\r\n" not in self._ahead:
            self._more()
        head, mark, self._ahead = self._ahead.partition(b"\r\n\r\n")
        return head + mark

    def exactly(self, count: int) -> bytes:
        while len(self._ahead) < count:
            self._more()
        data, self._ahead = self._ahead[:count], self._ahead[count:]
        return data

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        try:
            while True:
                self._more()
        except (EOFError, ConnectionError):
            data, self._ahead = self._ahead, b""
            return data

    def is_closed(self) -> bool:
        """Whether nothing more comes."""
        return self.rest() == b""

    def close(self) -> None:
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed after {self._ahead!r}")
        self._ahead += data


Script = Callable[[Peer, int], None]


class Origin:
    """A backend that runs `script(connection, number)` for each connection, in a thread each."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.connections = 0
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(
                target=self._run, args=(Peer(sock), self.connections), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _run(self, peer: Peer, number: int) -> None:
        try:
            self._script(peer, number)
        except (EOFError, ConnectionError, TimeoutError):
            pass  # the other side went, or has nothing more to ask
        except BaseException as error:
            self.failures.append(error)
        finally:
            peer.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Bench:
    """A proxy with one default route to the given origins."""

    def __init__(self, limits: Limits, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = self._listening.getsockname()
        self.target = Target("web")
        for name, value in settings.items():
            setattr(self.target, name, value)
        self._clients: list[Peer] = []
        self.do(self._start, limits)

    def _start(self, limits: Limits) -> None:
        self._poller = Poller()
        self._poller.start()
        self.proxy = Proxy(self._poller, limits)
        route = Route("web", 1, "*", "/", (Backend("web", 80),))
        self.proxy.table = RouteTable([route], {"web": self.target})
        self.proxy.listen(self._listening)

    def do(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call on the proxy's loop and wait for the result."""

        async def run() -> T:
            return call(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WITHIN)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start it on the proxy's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def lead_to(self, *addresses: tuple[str, int]) -> list[Endpoint]:
        endpoints = [Endpoint(each, f"web:{each[1]}") for each in addresses]
        self.do(self.target.lead_to, endpoints)
        return endpoints

    def client(self) -> Peer:
        peer = Peer(socket.create_connection(self.address, WITHIN))
        self._clients.append(peer)
        return peer

    def forget_clients(self) -> None:
        """Close all clients."""
        for each in self._clients:
            each.close()
        self._clients.clear()

    def close(self) -> None:
        self.forget_clients()
        for end in [*self.proxy.clients, *self.proxy.tunnels]:
            self.do(end.close)
        self.do(self.proxy.forget, self.target)
        self.do(self._poller.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        self._loop.close()
        self._listening.close()


@contextmanager
def bench(*scripts: Script, limits: Limits | None = None, **settings: Any) -> Iterator[Bench]:
    """A proxy whose route leads to an origin for each of `scripts`; no script of them may fail."""
    with ExitStack() as stack:
        origins = [Origin(script) for script in scripts]
        for each in origins:
            stack.callback(each.close)
        made = Bench(limits or Limits(), **settings)
        stack.callback(made.close)
        made.lead_to(*(each.address for each in origins))
        yield made
        failures = [failure for each in origins for failure in each.failures]
        assert not failures


def answers(*replies: bytes) -> Script:
    """An origin that answers each request, without reading bodies, and keeps connections open."""

    def script(peer: Peer, _number: int) -> None:
        while True:
            for reply in replies:
                peer.head()
                peer.send(reply)

    return script
