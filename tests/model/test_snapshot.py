"""Snapshots: never changed, indexes always in step, every change can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from volt_agent.model.host import HostPolicy
from volt_agent.model.network import Connection, Network, Reservation
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Instance, Port, Workload

NAMES = st.sampled_from(["a", "b", "c"])
ADDRESSES = st.integers(2, 6).map(lambda last: IPv4Address(f"10.0.0.{last}"))

networks = st.builds(
    Network,
    name=NAMES,
    bridge=NAMES,
    subnet=st.just(IPv4Network("10.0.0.0/24")),
    gateway=st.just(IPv4Address("10.0.0.1")),
    mtu=st.sampled_from([1500, 9000]),
)
connections = st.builds(
    Connection,
    network=NAMES,
    workload=NAMES,
    kind=st.sampled_from(["container", "vm"]),
    address=ADDRESSES,
    mac=NAMES,
    interface=NAMES,
    slot=st.integers(0, 2),
)
reservations = st.builds(
    Reservation,
    network=NAMES,
    workload=NAMES,
    address=ADDRESSES,
    mac=NAMES,
    released=st.just(0.0),
)
ports = st.builds(
    Port,
    network=NAMES,
    workload=NAMES,
    interface=NAMES,
    ifindex=st.integers(1, 3),
    up=st.booleans(),
    address=st.none() | ADDRESSES,
)
instances = st.builds(
    Instance,
    name=NAMES,
    kind=st.just("container"),
    runtime=st.just("netns"),
    identity=st.sampled_from(["1", "2"]),
)
workloads = st.builds(Workload, name=NAMES, kind=st.just("container"))
hosts = st.builds(HostPolicy, inbound=st.sampled_from(["deny", "allow"]))
objects = networks | connections | reservations | ports | instances | workloads | hosts


def one_each(items: Sequence[Object]) -> tuple[Object, ...]:
    return tuple({(type(each), each.key): each for each in items}.values())


changes = st.builds(
    lambda put, delete: Change(put=one_each(put), delete=one_each(delete)),
    st.lists(objects, max_size=4),
    st.lists(objects.filter(lambda each: not isinstance(each, HostPolicy)), max_size=3),
)


def tables(snapshot: Snapshot) -> dict[str, object]:
    fields = ("host", "networks", "connections", "reservations", "workloads", "instances", "ports")
    return {name: getattr(snapshot, name) for name in fields}


@settings(max_examples=300)
@given(st.lists(changes, max_size=6))
def test_indexes_follow_the_tables(steps: list[Change]) -> None:
    """After any changes the groups by workload are exactly those of the tables, in order."""
    snapshot = Snapshot()
    for step in steps:
        snapshot = snapshot.apply(step)
    for workload in "abc":
        wanted = [one for one in snapshot.connections.values() if one.workload == workload]
        group = snapshot.connections_of.get(workload, ())
        assert sorted(one.key for one in group) == sorted(one.key for one in wanted)
        assert [one.slot for one in group] == sorted(one.slot for one in group)
        seen = [one for one in snapshot.ports.values() if one.workload == workload]
        assert set(snapshot.ports_of.get(workload, ())) == set(seen)
    for address, owner in snapshot.owners.items():
        assert owner.address == address
        assert snapshot.find(owner) == owner


@settings(max_examples=300)
@given(st.lists(changes, max_size=4), changes)
def test_every_change_can_be_taken_back(steps: list[Change], last: Change) -> None:
    """apply, then apply the inverse: every table is as before."""
    snapshot = Snapshot()
    for step in steps:
        snapshot = snapshot.apply(step)
    before = tables(snapshot)
    there = snapshot.apply(last)
    back = there.apply(snapshot.inverse(last))
    assert tables(snapshot) == before
    assert tables(back) == before


def test_the_state_of_a_workload() -> None:
    """Pending before it was ever seen, running while an instance is there, stopped afterwards."""
    instance = Instance(name="a", kind="container", runtime="netns", identity="1")
    known = Workload(name="a", kind="container", runtime="netns")
    snapshot = Snapshot().apply(Change(put=(Workload(name="a", kind="container"),)))
    assert snapshot.state_of("a") == "pending"
    snapshot = snapshot.apply(Change(put=(instance, known)))
    assert snapshot.state_of("a") == "running"
    assert snapshot.apply(Change(delete=(instance,))).state_of("a") == "stopped"


def test_the_store_need_not_know_what_was_only_seen() -> None:
    """Instances and ports are seen anew after a restart."""
    instance = Instance(name="a", kind="container", runtime="netns", identity="1")
    assert not Change(put=(instance,)).is_durable
    assert Change(delete=(Workload(name="a", kind="container"),)).is_durable
