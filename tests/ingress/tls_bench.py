"""The bench with TLS: certificates by name on a second listener, and clients that speak it."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ingress.authority import Authority, pem_of
from tests.ingress.bench import WITHIN, Bench, Peer, Script, bench
from volt_agent.ingress.table import RouteTable
from volt_agent.ingress.targets import Target
from volt_agent.ingress.tls import Usable, load_usable
from volt_agent.model.route import Backend, Route

AUTHORITY = Authority()


class TlsBench:
    """A bench whose target is also reached over TLS, at `address`, by the names of `usable`."""

    def __init__(self, made: Bench, usable: Mapping[bytes, Usable]) -> None:
        self.made, self.proxy = made, made.proxy
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: tuple[str, int] = self._listening.getsockname()
        self.usable = dict(usable)
        self._clients: list[Peer] = []
        made.do(self._start)

    def _start(self) -> None:
        self.proxy.https_port = self.address[1]
        self.proxy.context_for = self._context_for
        self._listener = self.proxy.listen_tls(self._listening)

    def _context_for(self, name: bytes | None) -> ssl.SSLContext | None:
        found = self.usable.get(name or b"")
        return found.context if found is not None else None

    def route(self, *routes: Route, others: Mapping[str, Target] | None = None) -> None:
        """Serve these routes, to the bench's target where `others` names none."""
        targets = {each.name: self.made.target for each in routes} | dict(others or {})
        table = RouteTable(routes, targets)
        self.made.do(lambda: setattr(self.proxy, "table", table))

    def connect(self) -> Peer:
        """A connection without TLS yet."""
        peer = Peer(socket.create_connection(self.address, WITHIN))
        self._clients.append(peer)
        return peer

    def client(self, name: str | None, context: ssl.SSLContext | None = None) -> Peer:
        """A connection on which the handshake is done; raises ssl.SSLError."""
        return self.encrypted(self.connect(), name, context)

    def encrypted(self, raw: Peer, name: str | None, context: ssl.SSLContext | None = None) -> Peer:
        """The same over a connection that there is already."""
        sock = (context or client_context()).wrap_socket(raw.sock, server_hostname=name)
        self._clients.append(peer := Peer(sock))
        return peer

    def close(self) -> None:
        for each in self._clients:
            each.close()
        self.made.do(self._listener.close)
        for handshake in [*self.proxy.handshakes]:
            self.made.do(handshake.close)
        self._listening.close()


@contextmanager
def tls_bench(
    *scripts: Script, names: tuple[str, ...] = ("a.example",), **settings: Any
) -> Iterator[TlsBench]:
    """A default route over TLS to an origin for each script, with a certificate for each name."""
    with tempfile.TemporaryDirectory() as directory, bench(*scripts, **settings) as made:
        usable = {
            name.encode(): load_usable(AUTHORITY.files(Path(directory), name)) for name in names
        }
        tls = TlsBench(made, usable)
        try:
            tls.route(route("web"))
            yield tls
        finally:
            tls.close()


def route(name: str, hostname: str = "*", **options: Any) -> Route:
    """One over TLS, with a manual certificate if nothing else is said."""
    return Route(name, 1, hostname, "/", (Backend("web", 80),), **{"tls": "manual", **options})


def client_context() -> ssl.SSLContext:
    """A client that trusts the test authority only."""
    context = ssl.create_default_context(cadata=pem_of([AUTHORITY.root]).decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
