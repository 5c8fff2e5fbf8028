"""What a start and a stop change."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.networks.build import apply, backend, ip, running, with_network
from volt_agent.errors import NotFound, Refused
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Instance, Port
from volt_agent.networks.decide import connect, disconnect
from volt_agent.networks.lifecycle import forget, lacks_network, remember, started, stopped

WEB = Instance(name="web", kind="container", runtime="netns", identity="1", namespace="/x")


def test_a_stop_takes_the_ports_along() -> None:
    """Names go with the ports, before anything else is done."""
    snapshot = running(backend("web"), "web")
    port = Port(network="backend", workload="web", interface="vc-web", ifindex=3, up=True)
    snapshot = snapshot.apply(Change(put=(port,)))
    snapshot = snapshot.apply(stopped(snapshot, snapshot.instances["web"]))
    assert not snapshot.instances
    assert not snapshot.ports
    assert "backend/web" in snapshot.connections


def test_the_stop_of_a_former_life_is_no_stop() -> None:
    """A workload that was started again meanwhile keeps running."""
    snapshot = apply(Snapshot(), started(Snapshot(), replace(WEB, identity="2")))
    assert stopped(snapshot, WEB).is_empty
    assert started(snapshot, replace(WEB, identity="2")).is_empty


def test_a_foreign_port_does_not_take_the_name_of_a_running_container() -> None:
    """Whoever plugs in a port called like a container gets neither its name nor its connection."""
    snapshot = apply(Snapshot(), started(Snapshot(), WEB))
    port = Instance(name="web", kind="container", runtime="port", identity="9.1")
    assert started(snapshot, port).is_empty
    assert stopped(snapshot, port).is_empty
    other_way = apply(Snapshot(), started(Snapshot(), port))
    assert apply(other_way, started(other_way, WEB)).instances["web"] == WEB


def test_a_first_start_is_remembered() -> None:
    """The name is known from then on, with its runtime."""
    change = remember(Snapshot(), WEB, ["machined"], "volt0")
    snapshot = Snapshot().apply(change)
    assert snapshot.workloads["web"].runtime == "netns"
    assert remember(snapshot, WEB, ["machined"], "volt0").is_empty


def test_auto_connect_joins_the_default_network_unless_told_otherwise() -> None:
    """Only the named runtimes, only workloads without a connection, never after a disconnect."""
    base = with_network(backend(), "volt0", "10.0.0.0/24")
    assert not base.apply(remember(base, WEB, ["machined"], "volt0")).connections
    joined = base.apply(remember(base, WEB, ["netns"], "volt0"))
    assert joined.connections["volt0/web"].automatic
    assert joined.connections["volt0/web"].address == ip("10.0.0.2")
    assert remember(joined, WEB, ["netns"], "volt0").is_empty
    left = apply(joined, disconnect(joined, "web", None, 1.0))
    assert not left.apply(remember(left, WEB, ["netns"], "volt0")).connections


def test_a_forgotten_workload_leaves_nothing() -> None:
    """Its name, connections and addresses go; one that comes back later is a new one."""
    snapshot = with_network(backend("web", "db"), "frontend", "10.40.0.0/24")
    snapshot = apply(snapshot, connect(snapshot, "frontend", "web"))
    snapshot = apply(snapshot, disconnect(snapshot, "web", "frontend", 1.0))
    with pytest.raises(Refused, match="web is running"):
        forget(running(snapshot, "web"), "web")
    without = apply(snapshot, forget(snapshot, "web"))
    assert set(without.workloads) == {"db"}
    assert set(without.connections) == {"backend/db"}
    assert not without.reservations
    with pytest.raises(NotFound, match="no workload web"):
        forget(without, "web")


def test_a_full_default_network_does_not_stop_a_workload() -> None:
    """It runs without a network, and the name is known all the same."""
    base = with_network(Snapshot(), "volt0", "10.0.0.0/30")
    base = base.apply(remember(base, replace(WEB, name="first"), ["netns"], "volt0"))
    base = running(base, "first")
    late = base.apply(remember(base, WEB, ["netns"], "volt0"))
    assert "web" in late.workloads
    assert "volt0/web" not in late.connections


def joined(snapshot: Snapshot, *names: str) -> Snapshot:
    """With these connected by themselves; none of them runs."""
    for name in names:
        snapshot = snapshot.apply(remember(snapshot, replace(WEB, name=name), ["netns"], "volt0"))
    return snapshot


def test_who_does_not_run_gives_way_on_a_full_default_network() -> None:
    """The one that has not run for the longest time; nobody who runs or was connected by hand."""
    base = with_network(Snapshot(), "volt0", "10.0.0.0/29")  # room for five
    base = base.apply(connect(base, "volt0", "by-hand"))
    base = running(joined(base, "runs", "late", "early", "before"), "runs")
    ended = ["early", "late"]
    for number, leaver in enumerate(["before", "early", "late"]):
        name = f"new-{number}"
        change = remember(base, replace(WEB, name=name), ["netns"], "volt0", ended)
        base = running(base.apply(change), name)
        assert f"volt0/{leaver}" not in base.connections
        assert base.connections[f"volt0/{name}"].automatic
    change = remember(base, WEB, ["netns"], "volt0", ended)
    assert not change.delete
    assert lacks_network(base.apply(change), WEB, ["netns"])
    assert {"volt0/by-hand", "volt0/runs"} < set(base.connections)
