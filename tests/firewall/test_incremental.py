"""The compiled ruleset kept up to date: the same as compiled from scratch, and cheap."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.firewall.lab import APP, GUEST, NETWORKS, SNAPSHOT, WEB
from volt_agent.firewall.generated import generated_chains
from volt_agent.firewall.incremental import Compiled
from volt_agent.firewall.ruleset import Delta, Element
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.host import HostPolicy, HostPort
from volt_agent.model.network import Connection, Network
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Instance, Port

NAMES = ["a", "b", "c"]
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"]
ADDRESSES = [IPv4Address("10.0.0.5"), IPv4Address("10.0.0.6")]

networks = st.builds(
    lambda name, nat, secured: Network(
        name,
        f"volt-{name}",
        IPv4Network(f"10.{ord(name)}.0.0/24"),
        IPv4Address(f"10.{ord(name)}.0.1"),
        1500,
        nat,
        secured,
    ),
    st.sampled_from(NAMES),
    st.booleans(),
    st.booleans(),
)
connections = st.builds(
    Connection,
    network=st.sampled_from(NAMES),
    workload=st.sampled_from(NAMES),
    kind=st.sampled_from(["container", "vm"]),
    address=st.sampled_from(ADDRESSES),
    mac=st.sampled_from(MACS),
    interface=st.sampled_from(["vc-a", "vc-b"]),
    slot=st.just(0),
    port_security=st.booleans(),
)
ports = st.builds(
    Port,
    network=st.sampled_from(NAMES),
    workload=st.sampled_from(NAMES),
    interface=st.sampled_from(["vb-a", "vb-b", "vc-a", 'vb-"']),
    ifindex=st.just(1),
    up=st.booleans(),
    made=st.booleans(),
    address=st.sampled_from([None, *ADDRESSES]),
    mac=st.sampled_from([None, *MACS]),
)
policies = st.builds(
    HostPolicy,
    inbound=st.sampled_from(["deny", "allow"]),
    ports=st.lists(
        st.builds(
            lambda protocol, first, more: HostPort(protocol, first, first + more),
            st.sampled_from(["tcp", "udp"]),
            st.integers(1, 20),
            st.integers(0, 5),
        ),
        max_size=3,
    ).map(tuple),
    interfaces=st.lists(st.sampled_from(["virbr0", "tun0"])).map(tuple),
    ping=st.booleans(),
    settling=st.booleans(),
)
instances = st.builds(
    Instance,
    name=st.sampled_from(NAMES),
    kind=st.just("container"),
    runtime=st.just("netns"),
    identity=st.just("1"),
)
peers = st.one_of(
    st.sampled_from([Peer("any"), Peer("outside")]),
    st.sampled_from([Peer("workload", name) for name in NAMES]),
    st.sampled_from([Peer("network", name) for name in NAMES]),
    st.sampled_from([Peer("range", each) for each in ("10.0.0.5/32", "10.0.0.4/30", "0.0.0.0/0")]),
)
services = st.sampled_from(
    [
        ("any", ()),
        ("icmp", ()),
        ("tcp", ()),
        ("tcp", (PortRange(80, 80),)),
        ("udp", (PortRange(1, 9), PortRange(1000, 3000))),
    ]
)
rules = st.builds(
    lambda number, source, dest, service, action: Rule(
        f"r{number}", number, source, dest, service[1], service[0], action
    ),
    st.integers(1, 9),
    peers,
    st.one_of(peers.filter(lambda peer: peer.kind != "outside"), st.just(Peer("host"))),
    services,
    st.sampled_from(["accept", "drop", "reject"]),
)
network_policies = st.builds(
    lambda number, source, target, service, action: Policy(
        f"p{number}", number, source, target, service[1], service[0], action
    ),
    st.integers(1, 3),
    peers.filter(lambda peer: peer.kind in ("workload", "network")),
    peers.filter(lambda peer: peer.kind in ("workload", "network")),
    services,
    st.sampled_from(["allow", "deny"]),
)
forwards = st.builds(
    Forward,
    protocol=st.sampled_from(["tcp", "udp"]),
    ports=st.sampled_from([PortRange(80, 80), PortRange(90, 92)]),
    target=st.sampled_from(NAMES),
    target_port=st.sampled_from([80, 90]),
    host_ip=st.sampled_from([None, IPv4Address("192.0.2.1")]),
)
objects: st.SearchStrategy[Object] = st.one_of(
    networks,
    connections,
    ports,
    policies,
    instances,
    rules,
    rules,
    rules,
    network_policies,
    forwards,
)
changes = st.builds(
    lambda put, delete: Change(put=tuple(put), delete=tuple(delete)),
    st.lists(objects, max_size=4),
    st.lists(objects, max_size=2),
)


def applied(elements: set[Element], delta: Delta) -> set[Element]:
    """The elements after a transaction, which fails as the kernel's would."""
    assert set(delta.delete) <= elements, "deletes what is not there"
    assert not set(delta.add) & elements, "adds what is there"
    return (elements - set(delta.delete)) | set(delta.add)


@given(st.lists(changes, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_sequence_of_changes_equals_compiling_from_scratch(steps: list[Change]) -> None:
    """And every delta leads exactly from one ruleset to the next."""
    snapshot = Snapshot()
    compiled = Compiled.of(snapshot)
    kernel = set(compiled.elements())
    known: set[str] = set()
    chains = {each.name: each for each in generated_chains(())}
    for change in steps:
        snapshot = snapshot.apply(change)
        step = compiled.plan(snapshot, change)
        kernel = applied(kernel, step.delta)
        compiled.adopt(step)
        anew = Compiled.of(snapshot)
        assert set(compiled.elements()) == kernel == set(anew.elements())
        sets = set(compiled.generated_sets())
        assert sets == set(anew.generated_sets())
        known = (known | set(step.delta.new_sets)) - set(step.delta.old_sets)
        assert known == sets
        chains.update({each.name: each for each in step.delta.chains})
        assert tuple(chains.values()) == generated_chains(sets)


@given(st.lists(changes, max_size=4), changes)
@settings(max_examples=100, deadline=None)
def test_a_change_taken_back_leaves_no_trace(steps: list[Change], change: Change) -> None:
    """What the store refused is undone by the inverse change."""
    snapshot = Snapshot()
    for each in steps:
        snapshot = snapshot.apply(each)
    compiled = Compiled.of(snapshot)
    before = set(compiled.elements())
    compiled.adopt(compiled.plan(snapshot.apply(change), change))
    compiled.adopt(compiled.plan(snapshot, snapshot.inverse(change)))
    assert set(compiled.elements()) == before


def test_planning_changes_nothing() -> None:
    """Until it is adopted a step has not happened: the kernel may still refuse it."""
    compiled = Compiled.of(SNAPSHOT)
    before = set(compiled.elements())
    change = Change(delete=(WEB,))
    first = compiled.plan(SNAPSHOT.apply(change), change)
    assert set(compiled.elements()) == before
    assert compiled.plan(SNAPSHOT.apply(change), change) == first
    assert not first.delta.is_empty


def test_start_and_stop_of_a_workload_are_no_step() -> None:
    """Its guard follows from the connection, whether it runs or not."""
    compiled = Compiled.of(SNAPSHOT)
    port = Port("default", "web", "vc-web", ifindex=7, up=True, made=True)
    instance = Instance(name="web", kind="container", runtime="netns", identity="1")
    change = Change(put=(port, instance))
    assert compiled.plan(SNAPSHOT.apply(change), change).delta.is_empty


def test_a_port_that_moves_keeps_its_guard() -> None:
    """A port seen on two networks for a moment is guarded until it is on none."""
    moved = replace(GUEST, network="backend")
    both = SNAPSHOT.apply(Change(put=(moved,)))
    compiled = Compiled.of(both)
    for each, deleted in ((GUEST, ()), (moved, (Element("learning-ports", '"vb-guest"'),))):
        change = Change(delete=(each,))
        both = both.apply(change)
        step = compiled.plan(both, change)
        compiled.adopt(step)
        assert step.delta.delete == deleted


def test_port_security_of_a_network_reaches_its_connections() -> None:
    """Nobody has to touch the connections for that."""
    compiled = Compiled.of(SNAPSHOT)
    change = Change(put=(replace(NETWORKS[0], port_security=False),))
    delta = compiled.plan(SNAPSHOT.apply(change), change).delta
    lifted = {each.key for each in delta.add if each.set == "lifted-ports"}
    assert lifted == {f'"{name}"' for name in (WEB.interface, APP.interface, GUEST.interface)}


def test_nothing_is_kept_of_what_is_gone() -> None:
    """Ten thousand changes later the compiled ruleset is as small as before."""
    compiled = Compiled.of(SNAPSHOT)
    before = repr(compiled)
    for number in range(100):
        port = replace(GUEST, workload=f"w{number}", interface=f"vb-{number}")
        for change in (Change(put=(port,)), Change(delete=(port,))):
            compiled.adopt(compiled.plan(SNAPSHOT.apply(change), change))
    assert repr(compiled) == before
