"""What is behind the routes at the moment: targets and their endpoints, kept in step with the
snapshot, change by change."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal, Protocol

from msgspec import Struct

from ..model.network import Connection
from ..model.route import Backend, Route
from ..model.snapshot import Change, Snapshot
from ..model.workload import Instance, Port, Workload
from .proxy import Proxy
from .resolve import Outside, Resolved, hosts_of, kind_of, resolve, workloads_of
from .targets import Address, Endpoint, Target

Status = Literal["healthy", "unhealthy", "checking", "pending"]


class BackendState(Struct, frozen=True):
    """How a backend is; `reason` says why it gets no requests."""

    backend: Backend
    status: Status
    reason: str | None = None


class Health(Protocol):
    """Who decides which endpoints are usable, by `Endpoint.is_usable` and `Target.refresh`."""

    def admit(self, route: Route, target: Target, endpoint: Endpoint) -> None:
        """An endpoint is new; it begins as it is to be."""

    def dismiss(self, endpoint: Endpoint) -> None:
        """It is no endpoint any more."""

    def judge(self, endpoint: Endpoint) -> tuple[Status, str | None]:
        """How it is, and why."""


class Live:
    """A route at work."""

    __slots__ = ("endpoints", "resolved", "route", "target")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.target = Target(route.name)
        self.resolved: tuple[Resolved, ...] = ()
        self.endpoints: dict[tuple[Backend, Address], Endpoint] = {}
        self.adjust(route)

    def adjust(self, route: Route) -> None:
        self.route, target = route, self.target
        target.timeout, target.body_limit = route.timeout, route.body_limit
        target.hsts = route.hsts


class Routing:
    """Gives `proxy` its table. `observes` says that the snapshot knows which workloads run; else
    they are taken to be where they would be."""

    def __init__(self, proxy: Proxy, health: Health, *, observes: bool = True) -> None:
        self._proxy, self._health, self._observes = proxy, health, observes
        self._live: dict[str, Live] = {}
        self._users: dict[str, set[str]] = {}  # workloads and outside hosts -> routes
        self._draining: dict[Target, asyncio.TimerHandle] = {}
        self.outside: Outside = {}
        self.with_tls = 0  # routes that need more than plain HTTP

    def __repr__(self) -> str:
        return f"<Routing [{len(self._live)} routes, {len(self._draining)} draining]>"

    @property
    def has_routes(self) -> bool:
        return bool(self._live)

    @property
    def live(self) -> Iterable[Live]:
        return self._live.values()

    def find(self, name: str) -> Live | None:
        return self._live.get(name)

    def hosts(self) -> set[str]:
        """The outside hosts that routes lead to."""
        return {host for each in self._live.values() for host in hosts_of(each.route)}

    def start(self, snapshot: Snapshot) -> None:
        self.follow(snapshot, Change(put=tuple(snapshot.routes.values())))

    def follow(self, new: Snapshot, change: Change) -> None:
        """Go by `new`, which `change` led to: from now on for every request that begins. What is
        in flight goes on where it is."""
        gone = [each for each in change.delete if isinstance(each, Route)]
        come = [each for each in change.put if isinstance(each, Route)]
        if gone or come:
            self._change_routes(gone, come)
        touched = {each.name for each in come}
        for name in _workloads(change):
            touched |= self._users.get(name, set())
        for name in touched:
            live = self._live.get(name)
            if live is not None:
                self._lead(live, new)

    def look_again(self, hosts: Iterable[str], snapshot: Snapshot) -> None:
        """The addresses of these outside hosts have changed."""
        for name in {name for host in hosts for name in self._users.get(host, ())}:
            self._lead(self._live[name], snapshot)

    def states(self, route: str) -> list[BackendState]:
        """How the backends of a route are."""
        live = self._live.get(route)
        return [] if live is None else [self._state(live, each) for each in live.resolved]

    def close(self) -> None:
        """Cut what is still draining, and let go of idle connections."""
        for target, timer in list(self._draining.items()):
            timer.cancel()
            self._proxy.end(target)
        self._draining.clear()
        for live in self._live.values():
            self._proxy.forget(live.target)

    # ---- routes ---------------------------------------------------------------------------------

    def _change_routes(self, gone: list[Route], come: list[Route]) -> None:
        names = dict.fromkeys(each.name for each in (*gone, *come))
        was = [self._live[name].route for name in names if name in self._live]
        for route in was:
            self._unuse(route)
        deleted = [self._live.pop(each.name) for each in gone if each.name in self._live]
        for route in come:
            live = self._live.get(route.name)
            if live is None:
                self._live[route.name] = Live(route)
            else:
                live.adjust(route)
            self._use(route)
        targets = {each.name: self._live[each.name].target for each in come}
        self._proxy.table = self._proxy.table.changed(was, come, targets)
        for live in deleted:
            self._drain(live)

    def _use(self, route: Route) -> None:
        self.with_tls += route.side != "plain"
        for name in workloads_of(route) | hosts_of(route):
            self._users.setdefault(name, set()).add(route.name)

    def _unuse(self, route: Route) -> None:
        self.with_tls -= route.side != "plain"
        for name in workloads_of(route) | hosts_of(route):
            users = self._users[name]
            users.discard(route.name)
            if not users:
                del self._users[name]

    def _drain(self, live: Live) -> None:
        """Requests in flight get their time; then they are cut."""
        target = live.target
        target.is_deleted = True
        for endpoint in live.endpoints.values():
            self._health.dismiss(endpoint)
        loop = asyncio.get_running_loop()
        self._draining[target] = loop.call_later(live.route.drain, self._end, target)

    def _end(self, target: Target) -> None:
        self._draining.pop(target, None)
        self._proxy.end(target)

    # ---- endpoints ------------------------------------------------------------------------------

    def _lead(self, live: Live, snapshot: Snapshot) -> None:
        """Bring the endpoints of a route to what the snapshot says."""
        live.resolved = resolve(live.route, snapshot, self.outside, observes=self._observes)
        wanted = {(each.backend, at): None for each in live.resolved for at in each.addresses}
        before = live.endpoints
        if list(wanted) == list(before):
            return
        live.endpoints = {
            key: before.get(key) or Endpoint(key[1], str(key[0]), is_usable=False) for key in wanted
        }
        for key, endpoint in live.endpoints.items():
            if key not in before:
                self._health.admit(live.route, live.target, endpoint)
        live.target.lead_to(live.endpoints.values())
        for (backend, _at), endpoint in before.items():
            if (backend, endpoint.address) not in live.endpoints:
                self._leave(live.target, backend, endpoint, snapshot)

    def _leave(
        self, target: Target, backend: Backend, endpoint: Endpoint, snapshot: Snapshot
    ) -> None:
        self._health.dismiss(endpoint)
        endpoint.is_usable = False
        for idle in list(endpoint.idle):
            idle.close()
        if self._observes and kind_of(backend) == "workload" and _is_gone(backend, snapshot):
            self._cut(target, endpoint)

    def _cut(self, target: Target, endpoint: Endpoint) -> None:
        """Nobody is there any more who would end these connections: end them in its place, so that
        requests go to another endpoint now and not after their time-out."""
        if endpoint.outstanding:
            for client in list(self._proxy.clients):
                peer = client.peer
                if peer is not None and peer.endpoint is endpoint:
                    with suppress(OSError):
                        peer.sock.shutdown(socket.SHUT_RDWR)
        for end, its in list(self._proxy.tunnels.items()):
            if its is target and _peer_of(end.sock) == endpoint.address:
                end.close()

    def _state(self, live: Live, resolved: Resolved) -> BackendState:
        """The best of its endpoints."""
        if not resolved.addresses:
            return BackendState(resolved.backend, "pending", resolved.reason)
        found = [
            self._health.judge(live.endpoints[resolved.backend, at]) for at in resolved.addresses
        ]
        order: list[Status] = ["healthy", "checking", "unhealthy", "pending"]
        status, reason = min(found, key=lambda each: order.index(each[0]))
        return BackendState(resolved.backend, status, reason)


def _workloads(change: Change) -> Iterator[str]:
    """Whose addresses may be others after `change`."""
    for each in change.touched():
        if isinstance(each, Instance | Workload):
            yield each.name
        elif isinstance(each, Port | Connection):
            yield each.workload


def _is_gone(backend: Backend, snapshot: Snapshot) -> bool:
    """Whether a workload does not run, or has no port any more."""
    return backend.host not in snapshot.instances or not snapshot.ports_of.get(backend.host)


def _peer_of(sock: socket.socket) -> Address | None:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return None
    return host, port
