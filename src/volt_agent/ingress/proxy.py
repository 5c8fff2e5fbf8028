"""The data path as one object. It knows nothing of snapshots: it is told the table, and where to
listen."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import logging
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from ..handover.connections import Tunnel, Waiting
from .backend import Backend
from .client import Client
from .connection import Connection
from .counters import Refusal
from .handshake import NEWS, ContextFor, Handshake
from .kept import KeptEnd
from .limits import Limits
from .passthrough import Uplink
from .poller import IN, NEVER, Poller
from .sockets import accept
from .table import RouteTable
from .targets import Endpoint, Target
from .tunnel import TunnelEnd

log = logging.getLogger(__name__)

# Connections taken at one wake-up of a listener.
_ACCEPTS = 16
_SHED = 64  # idle connections closed when descriptors have run out
_LOOKED = 512  # connections looked at to find an idle one: 0.1 ms
_PAUSE = 0.5  # seconds without accepting once descriptors have run out


class Observer(Protocol):
    """Who counts and logs. Called for every request: cheap."""

    def finished(self, client: Client, target: Target | None) -> None: ...


class Keeper(Protocol):
    """Who has tunnels held so that they outlive this process."""

    @property
    def held(self) -> int:
        """How many are."""

    def keep(self, near: TunnelEnd) -> None:
        """A tunnel has begun; `near` is its client's end."""

    def keep_later(self, near: TunnelEnd) -> None:
        """The same for one of many."""

    def let_go(self, end: TunnelEnd) -> None:
        """An end is gone."""


class Proxy:
    """See the module. `on_result(endpoint, ok)` is told what became of connections to backends;
    `challenge(host, token)` answers for /.well-known/acme-challenge/ or returns None;
    `context_for(server_name)` has the certificate for a TLS connection, or None; `on_refused` is
    told why a connection was not served."""

    def __init__(self, poller: Poller, limits: Limits) -> None:
        self.poller, self.limits = poller, limits
        self.table = RouteTable()
        self.is_draining = False
        self.has_successor = False  # another process takes what can travel
        self.https_port = 443
        self.challenge: Callable[[bytes, bytes], bytes | None] | None = None
        self.on_result: Callable[[Endpoint, bool], None] = lambda _endpoint, _ok: None
        self.observer: Observer | None = None
        self.trusted: Sequence[IPv4Network | IPv6Network] = ()
        self.context_for: ContextFor = lambda _server_name: None
        self.keeper: Keeper | None = None
        self.on_refused: Callable[[Refusal], None] = lambda _reason: None
        self.clients: dict[Client, None] = {}
        self.handshakes: dict[Handshake, None] = {}
        self.tunnels: dict[TunnelEnd, Target | None] = {}
        self._per_address: dict[str, int] = {}
        self._is_empty = asyncio.Event()

    # ---- what clients and backends ask ----------------------------------------------------------

    def trusts(self, address: str) -> bool:
        """Whether what this peer says of its clients is believed."""
        if not self.trusted:
            return False
        one = ipaddress.ip_address(address)
        return any(one in each for each in self.trusted)

    def https_authority(self, authority: bytes) -> bytes:
        """The authority under which the same host is served over TLS."""
        if authority.startswith(b"["):
            host = authority[: authority.find(b"]") + 1]
        else:
            host = authority.partition(b":")[0]
        return host if self.https_port == 443 else b"%b:%d" % (host, self.https_port)

    def finished(self, client: Client, target: Target | None) -> None:
        if self.observer is not None:
            self.observer.finished(client, target)

    def client_gone(self, client: Client) -> None:
        if self.clients.pop(client, 0) == 0:
            return
        self._is_empty.set()
        self._uncount(client.address)

    def handshake_gone(self, handshake: Handshake) -> None:
        """It was not finished."""
        del self.handshakes[handshake]
        self._is_empty.set()
        self._uncount(handshake.address)

    def encrypted(self, handshake: Handshake, client: Client) -> None:
        """A handshake is over: `client` takes its place."""
        del self.handshakes[handshake]
        self.clients[client] = None

    def _uncount(self, address: str) -> None:
        left = self._per_address[address] - 1
        if left:
            self._per_address[address] = left
        else:
            del self._per_address[address]

    def relieve(self) -> None:
        """Descriptors, ports or memory have run out: let go of what is idle."""
        self.shed(_SHED)

    def tunnel(
        self,
        client: Client | Handshake,
        backend: Backend | Uplink,
        target: Target | None,
        ahead: bytes,
    ) -> None:
        """Join both for good; `ahead` is what the client has sent already."""
        idle = self.limits.tunnel_idle
        backend.endpoint.outstanding += 1
        kind = self._kind(client)
        near = kind(client, client.address, idle, self._tunnel_gone)
        far = kind(backend, backend.endpoint, idle, self._tunnel_gone)
        self.tunnels[near] = self.tunnels[far] = target
        # It counts as a connection of its client as before.
        if isinstance(client, Client):
            self.clients.pop(client, None)
        else:
            del self.handshakes[client]
        if ahead:
            far.write(ahead)
        near.join(far)
        if self.keeper is not None:
            self.keeper.keep(near)

    def _kind(self, client: Connection | None = None) -> type[TunnelEnd]:
        """How the tunnel of a client is forwarded."""
        if self.keeper is None or (client is not None and client.is_tls):
            return TunnelEnd
        return KeptEnd

    def _tunnel_gone(self, end: TunnelEnd) -> None:
        if self.keeper is not None:
            self.keeper.let_go(end)
        if isinstance(end.owner, Endpoint):
            end.owner.outstanding -= 1
        else:
            self._uncount(end.owner)
        self.tunnels.pop(end, None)
        self._is_empty.set()

    # ---- from process to process ----------------------------------------------------------------

    def adopt_client(self, sock: socket.socket, state: Waiting) -> None:
        """Serve a plain client that was another process's."""
        self.welcome(Client.adopt(self, sock, state))

    def adopt_tunnel(
        self,
        client: socket.socket,
        server: socket.socket,
        state: Tunnel,
        target: Target,
        endpoint: Endpoint,
    ) -> TunnelEnd:
        """Go on with a tunnel that was another process's; returns the client's end."""
        kind, gone, idle = self._kind(), self._tunnel_gone, state.idle
        near = kind.adopt(self.poller, client, state.client, state.address, idle, gone)
        far = kind.adopt(self.poller, server, state.server, endpoint, idle, gone)
        self._count(state.address)
        endpoint.outstanding += 1
        self.tunnels[near] = self.tunnels[far] = target
        near.join(far)
        near.deadline = far.deadline = self.poller.now + state.seconds
        return near

    def adopt_handshake(self, sock: socket.socket, address: str) -> None:
        """Take a TLS connection that another process has only looked at."""
        self._begin_tls(sock, address)

    # ---- listening ------------------------------------------------------------------------------

    def listen(self, sock: socket.socket) -> Listener:
        """Serve plain HTTP on a listening socket, which stays the caller's."""
        return Listener(self, sock, self._begin_plain)

    def listen_tls(self, sock: socket.socket) -> Listener:
        """Serve TLS on a listening socket, which stays the caller's: what ends here by
        `context_for`, and what is passed through by the table."""
        return Listener(self, sock, self._begin_tls)

    def _begin_plain(self, sock: socket.socket, address: str) -> None:
        client = Client(self, sock, address)
        self.welcome(client)
        self.poller.add(client.fd, IN, client.event)

    def _begin_tls(self, sock: socket.socket, address: str) -> None:
        if len(self.handshakes) >= self.limits.handshakes:
            next(iter(self.handshakes)).close()
        handshake = Handshake(self, sock, address)
        self.handshakes[handshake] = None
        self._count(address)
        self.poller.add(handshake.fd, NEWS, handshake.event)

    def admits(self, address: str) -> bool:
        """Whether one more connection from `address` is taken; makes room if there are too many."""
        if self._per_address.get(address, 0) >= self.limits.per_client:
            return False
        most = self.limits.connections - len(self.tunnels) // 2 - len(self.handshakes)
        if len(self.clients) >= most:
            self.shed(1)
        return len(self.clients) < most

    def welcome(self, client: Client) -> None:
        self.clients[client] = None
        self._count(client.address)

    def _count(self, address: str) -> None:
        self._per_address[address] = self._per_address.get(address, 0) + 1

    def shed(self, count: int) -> None:
        """Close up to `count` connections that wait for a request, the oldest first.

        Those that are busy are passed over, and looked at again after all others: a crowd of them
        is not searched anew for each connection that comes."""
        for client in list(itertools.islice(self.clients, max(count, _LOOKED))):
            if client.is_owed:
                self.clients[client] = self.clients.pop(client)
            elif count:
                count -= 1
                client.close()

    # ---- the end --------------------------------------------------------------------------------

    def end(self, target: Target) -> None:
        """Cut what is still in flight to a target whose route is gone."""
        for client in [each for each in self.clients if each.target is target and each.is_busy]:
            client.close()
        for handshake in [each for each in self.handshakes if each.target is target]:
            handshake.close()
        for tunnel in [each for each, its in self.tunnels.items() if its is target]:
            tunnel.close()
        self.forget(target)

    @staticmethod
    def forget(target: Target) -> None:
        """Close the idle connections to the endpoints of `target`."""
        for endpoint in target.endpoints:
            for backend in list(endpoint.idle):
                backend.close()

    async def drain(self, seconds: float) -> None:
        """Finish what is in flight, for at most `seconds`, then cut the rest. The listeners have to
        be closed before.

        Who was accepted and has not been answered yet counts as in flight: nobody else will answer
        the request that is on its way.

        With a successor there is no hurry: who ends TLS here is told with the next answer that the
        connection ends, and is not cut off while asking; everybody else may still travel.
        """
        self.is_draining = True
        for client in [*self.clients]:
            client.is_simple = False  # its answer has to say that the connection ends
            if client.is_spent and not self.has_successor:
                client.close()
        self._is_empty = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.clients or self.handshakes or self.tunnels:
                    self._is_empty.clear()
                    await self._is_empty.wait()
        for each in [*self.clients, *self.handshakes, *self.tunnels]:
            each.close()
        self.is_draining = False


class Listener:
    """Accepts connections from one listening socket until closed."""

    def __init__(
        self, proxy: Proxy, sock: socket.socket, begin: Callable[[socket.socket, str], None]
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
        self._proxy, self._sock, self._begin = proxy, sock, begin
        self._family = int(sock.family)
        self.deadline = NEVER
        proxy.poller.add(sock.fileno(), IN, self._accept)
        proxy.poller.watch(self)

    def close(self) -> None:
        """Accept nothing more; the socket stays open."""
        self._proxy.poller.remove(self._sock.fileno())
        self._proxy.poller.unwatch(self)

    def expire(self) -> None:
        self._proxy.poller.change(self._sock.fileno(), IN)

    def _accept(self, _mask: int) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, address = accept(self._sock, self._family)
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                self._pause(error)
                return
            if self._proxy.admits(address):
                self._begin(sock, address)
            else:
                sock.close()

    def _pause(self, error: OSError) -> None:
        """Descriptors or memory have run out: let go of what is idle, and wait."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            log.error("connections cannot be accepted: %s", error)
        self._proxy.relieve()
        self._proxy.poller.change(self._sock.fileno(), 0)
        self.deadline = self._proxy.poller.now + _PAUSE
