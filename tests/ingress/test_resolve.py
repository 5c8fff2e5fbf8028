"""Where backends are: workloads on their first network, addresses as they are, names by DNS."""

from __future__ import annotations

from ipaddress import IPv4Address

from tests.networks.build import backend, running
from volt_agent.ingress.resolve import hosts_of, resolve, workloads_of
from volt_agent.model.route import Backend, Route
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Port

ROUTE = Route(
    "web",
    1,
    "app.example.com",
    "/",
    (Backend("web", 80), Backend("192.0.2.7", 81), Backend("cdn.example.com", 82)),
)


def with_port(snapshot: Snapshot, name: str, *, up: bool = True) -> Snapshot:
    address = snapshot.connections[f"backend/{name}"].address
    port = Port("backend", name, f"vc-{name}", 7, up, address=address)
    return snapshot.apply(Change(put=(port,)))


def test_backends_are_told_apart_by_their_names() -> None:
    """A dot makes an outside host, digits an address, everything else a workload."""
    assert workloads_of(ROUTE) == {"web"}
    assert hosts_of(ROUTE) == {"cdn.example.com"}


def test_a_running_workload_is_where_its_port_is() -> None:
    """And nowhere while it does not run, has no network, or its port is down."""
    wanted = Snapshot()
    assert resolve(ROUTE, wanted, {})[0].reason == "no such workload yet"
    wanted = backend("web")
    assert resolve(ROUTE, wanted, {})[0].reason == "it does not run"
    wanted = running(wanted, "web")
    assert resolve(ROUTE, wanted, {})[0].reason == "it is on no network"
    assert resolve(ROUTE, with_port(wanted, "web", up=False), {})[0].addresses == ()
    found = resolve(ROUTE, with_port(wanted, "web"), {})[0]
    assert found.addresses == ((str(IPv4Address("10.30.0.2")), 80),)
    assert found.reason is None


def test_an_outside_host_is_at_all_its_addresses() -> None:
    """None while its name is not known."""
    _web, address, outside = resolve(ROUTE, Snapshot(), {})
    assert address.addresses == (("192.0.2.7", 81),)
    assert outside.reason == "its name has no address"
    known = {"cdn.example.com": ("198.51.100.1", "198.51.100.2")}
    outside = resolve(ROUTE, Snapshot(), known)[2]
    assert outside.addresses == (("198.51.100.1", 82), ("198.51.100.2", 82))
