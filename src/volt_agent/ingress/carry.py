"""Connections that leave for another process, or come from one: between sockets and the values of
`handover.connections`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ..handover import connections
from ..handover.connections import Hello, Side, Tunnel, Waiting
from .connection import Connection
from .proxy import Proxy
from .sockets import adopted
from .targets import Endpoint, Target
from .tunnel import TunnelEnd

Carried = tuple[connections.Connection, tuple[int, ...]]


class Departure:
    """Connections that can travel (at most `most` of a kind), halted: nothing is read from them or
    written to them until `done` (the other process has them) or `undo` (they go on here). One of
    both has to be called, once and soon."""

    def __init__(self, proxy: Proxy, most: int | None = None) -> None:
        self._ends: list[Connection] = []
        self.connections: list[Carried] = []  # with the descriptors, which stay ours
        for tunnel in islice(_tunnels(proxy), most):
            self._take(*tunnel)
        for client in islice((each for each in proxy.clients if each.can_travel), most):
            client.halt()
            self._add(client.state(), client)
        for handshake in islice((each for each in proxy.handshakes if each.can_travel), most):
            handshake.halt()
            self._add(Hello(handshake.address), handshake)

    def __repr__(self) -> str:
        return f"<Departure [{len(self.connections)} connections]>"

    def done(self) -> None:
        """The other process has them."""
        for each in self._ends:
            each.part()

    def undo(self) -> None:
        """They go on here, as if nothing had happened."""
        for each in self._ends:
            each.go_on()

    def _take(self, near: TunnelEnd, far: TunnelEnd, target: Target) -> None:
        near.halt()
        far.halt()
        self._add(tunnel_state(near, far, target), near, far)

    def _add(self, state: connections.Connection, *ends: Connection) -> None:
        self._ends.extend(ends)
        self.connections.append((state, tuple(each.fd for each in ends)))


def _tunnels(proxy: Proxy) -> Iterator[tuple[TunnelEnd, TunnelEnd, Target]]:
    """Those whose bytes are nobody's here, and whose route is not about to cut them."""
    for near, target in proxy.tunnels.items():
        far = near.peer
        if isinstance(near.owner, Endpoint) or far is None or near.is_tls:
            continue
        if target is not None and not target.is_deleted and not near.is_closed:
            yield near, far, target


def tunnel_state(near: TunnelEnd, far: TunnelEnd, target: Target) -> Tunnel:
    """What another process has to know of a tunnel."""
    endpoint, address = far.owner, near.owner
    assert isinstance(endpoint, Endpoint)
    assert isinstance(address, str)
    left = near.deadline - near.poller.now
    backend = endpoint.backend
    sides: tuple[Side, Side] = (near.side(), far.side())
    return Tunnel(address, target.name, backend, endpoint.address, near.idle, left, *sides)


def adopt(
    proxy: Proxy,
    find: Callable[[str], Target | None],
    connection: connections.Connection,
    descriptors: tuple[int, ...],
) -> None:
    """Serve a connection from another process; the descriptors are the proxy's from now on. `find`
    has the targets by the names of their routes: a tunnel without one is closed."""
    sockets = [adopted(each) for each in descriptors]
    if isinstance(connection, Waiting):
        proxy.adopt_client(sockets[0], connection)
    elif isinstance(connection, Hello):
        proxy.adopt_handshake(sockets[0], connection.address)
    elif (target := find(connection.route)) is None:
        for each in sockets:
            each.close()
    else:
        endpoint = endpoint_of(target, connection)
        near = proxy.adopt_tunnel(sockets[0], sockets[1], connection, target, endpoint)
        if proxy.keeper is not None:
            proxy.keeper.keep_later(near)


def endpoint_of(target: Target, tunnel: Tunnel) -> Endpoint:
    """Where it leads to. A route that no longer leads there lets its tunnels go on."""
    for each in target.endpoints:
        if (each.address, each.backend) == (tunnel.endpoint, tunnel.backend):
            return each
    return Endpoint(tunnel.endpoint, tunnel.backend, is_usable=False)
