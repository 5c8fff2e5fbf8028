"""Targets and endpoints follow the snapshot; what does not change stays the very same object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps

from tests.networks.build import backend, running
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.proxy import Proxy
from volt_agent.ingress.routing import Routing
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.model.route import Backend, Route
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Port


class Trusting:
    """Takes every endpoint for healthy, and remembers which there are."""

    def __init__(self) -> None:
        self.watched: list[Endpoint] = []

    def admit(self, route: Route, target: Target, endpoint: Endpoint) -> None:
        endpoint.is_usable = True
        self.watched.append(endpoint)

    def dismiss(self, endpoint: Endpoint) -> None:
        self.watched.remove(endpoint)

    def judge(self, endpoint: Endpoint) -> tuple[str, str | None]:
        return "healthy", None


class World:
    """A routing and the snapshot that it follows."""

    def __init__(self) -> None:
        self.health = Trusting()
        self.proxy = Proxy(Poller(), Limits())
        self.routing = Routing(self.proxy, self.health)  # type: ignore[arg-type]
        self.snapshot = Snapshot()

    def put(self, *objects: Object) -> None:
        self._change(Change(put=objects))

    def delete(self, *objects: Object) -> None:
        self._change(Change(delete=objects))

    def be(self, snapshot: Snapshot) -> None:
        """Start from here."""
        self.snapshot = snapshot
        self.routing.start(snapshot)

    def target(self, host: str, path: bytes = b"/") -> Target | None:
        found = self.proxy.table.find_plain(host.encode(), path)
        assert not found or isinstance(found, Target)
        return found if isinstance(found, Target) else None

    def _change(self, change: Change) -> None:
        self.snapshot = self.snapshot.apply(change)
        self.routing.follow(self.snapshot, change)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.routing.close()


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    return run


def route(name: str, *backends: Backend, host: str = "", drain: float = 30.0) -> Route:
    backends = backends or (Backend("192.0.2.7", 80),)
    return Route(name, 1, host or f"{name}.example.com", "/", backends, drain=drain)


@on_loop
async def test_other_routes_keep_their_objects() -> None:
    """Routes come and go; target and endpoint of another stay what they are."""
    async with world() as here:
        here.put(route("a"))
        before = here.target("a.example.com")
        assert before is not None
        endpoints = before.endpoints
        for number in range(5):
            here.put(route(f"b{number}"))
        here.delete(route("b0"))
        assert here.target("a.example.com") is before
        assert before.endpoints == endpoints
        assert here.target("b0.example.com") is None
        assert here.target("b1.example.com") is not None


@on_loop
async def test_a_deleted_route_is_cut_after_its_drain() -> None:
    """And one of the same name meanwhile is another target."""
    async with world() as here:
        ended: list[Target] = []
        here.proxy.end = ended.append  # type: ignore[method-assign,assignment]
        here.put(route("a", drain=0.0))
        old = here.target("a.example.com")
        assert old is not None
        here.delete(route("a"))
        here.put(route("a"))
        assert old.is_deleted
        assert not ended
        await asyncio.sleep(0.01)
        assert ended == [old]
        assert here.target("a.example.com") is not old
        assert len(here.health.watched) == 1


@on_loop
async def test_endpoints_follow_a_workload() -> None:
    """Pending, then at its port, then gone with its stop, at once."""
    async with world() as here:
        here.be(backend("web"))
        here.put(route("a", Backend("web", 80)))
        target = here.target("a.example.com")
        assert target is not None
        (state,) = here.routing.states("a")
        assert (state.status, state.reason) == ("pending", "it does not run")
        assert not target.usable
        instance = running(here.snapshot, "web").instances["web"]
        here.put(instance)
        address = here.snapshot.connections["backend/web"].address
        here.put(Port("backend", "web", "vc-web", 7, True, address=address))
        (endpoint,) = target.endpoints
        assert (endpoint.address, endpoint.is_usable) == ((str(address), 80), True)
        assert here.routing.states("a")[0].status == "healthy"
        here.delete(instance)
        assert not target.usable
        assert here.health.watched == []


@on_loop
async def test_only_the_routes_concerned_are_looked_at() -> None:
    """A workload that no route leads to changes nothing."""
    async with world() as here:
        here.be(backend("web", "other"))
        here.put(route("a", Backend("web", 80), Backend("192.0.2.7", 80)))
        target = here.target("a.example.com")
        assert target is not None
        endpoints = target.endpoints
        here.put(Port("backend", "other", "vc-other", 8, True))
        assert target.endpoints is endpoints


@on_loop
async def test_outside_hosts_are_looked_at_again() -> None:
    """The endpoints of addresses that stay are kept."""
    async with world() as here:
        here.put(route("a", Backend("cdn.example.com", 80)))
        target = here.target("a.example.com")
        assert target is not None
        assert here.routing.hosts() == {"cdn.example.com"}
        here.routing.outside = {"cdn.example.com": ("198.51.100.1", "198.51.100.2")}
        here.routing.look_again(["cdn.example.com"], here.snapshot)
        first, second = target.endpoints
        here.routing.outside = {"cdn.example.com": ("198.51.100.2",)}
        here.routing.look_again(["cdn.example.com", "unused.example.com"], here.snapshot)
        assert target.endpoints == (second,)
        assert not first.is_usable
