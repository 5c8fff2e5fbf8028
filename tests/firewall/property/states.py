"""Random states of volt in the world of the property test, and every attempt to make in them.

The universe is small on purpose: a handful of ports, ranges that overlap, so that rules, policies
and forwards meet. Hypothesis draws the values, hence it also shrinks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import TypeVar

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from tests.firewall.property.packets import Probe
from tests.firewall.property.world import (
    GATEWAYS,
    HOST,
    LOOPBACK,
    NETWORKS,
    OUTSIDE,
    PLACES,
    WORKLOADS,
    Place,
)
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.host import HostPolicy, HostPort
from volt_agent.model.network import Connection
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Instance, Port, Workload

T = TypeVar("T", Rule, Policy)

PORTS = (22, 53, 80, 81, 443, 8080)
IDLE = "idle"  # known, on no network
_ON_TWO = tuple(name for name in WORKLOADS if sum(p.workload == name for p in PLACES) == 2)
_RANGES = ("10.71.0.0/24", "10.71.0.4/30", "10.72.0.5/32", "10.64.0.0/10", "192.0.2.0/24",
           "192.0.2.2/32", "10.71.0.1/32", "0.0.0.0/0")  # fmt: skip


class State(Struct, frozen=True):
    """What differs from one state to the next. `reversed` names the workloads on two networks
    whose second one counts as their first."""

    host: HostPolicy
    stopped: frozenset[str] = frozenset()
    reversed: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    policies: tuple[Policy, ...] = ()
    forwards: tuple[Forward, ...] = ()

    def snapshot(self) -> Snapshot:
        return Snapshot().apply(Change(put=tuple(self._objects())))

    def _objects(self) -> Iterator[Object]:
        yield self.host
        yield from NETWORKS
        for name in (*WORKLOADS, IDLE):
            yield Workload(name, "container", "netns")
        for name in set(WORKLOADS) - self.stopped:
            yield Instance(name, "container", "netns", "1", f"/run/netns/{name}")
        for number, place in enumerate(PLACES, 10):
            connection = _connection(place, place.workload in self.reversed)
            yield connection
            if place.workload not in self.stopped:
                yield _port(connection, number)
        yield from self.rules
        yield from self.policies
        yield from self.forwards

    def __str__(self) -> str:
        lines = [f"host inbound {self.host.inbound}, ping {self.host.ping}"]
        lines += [f"stopped: {name}" for name in sorted(self.stopped)]
        lines += [f"second network first: {name}" for name in sorted(self.reversed)]
        lines += [
            f"rule {r.sequence}: {r.action} {r.source} -> {r.dest} {_what(r.protocol, r.ports)}"
            for r in self.rules
        ]
        lines += [
            f"policy {p.name}: {p.action} {p.source} -> {p.target} {_what(p.protocol, p.ports)}"
            for p in self.policies
        ]
        lines += [f"forward {f.key} -> {f.target}:{f.target_port}" for f in self.forwards]
        return "\n".join(lines)


def _what(protocol: str, ports: tuple[PortRange, ...]) -> str:
    return f"{protocol} {','.join(map(str, ports))}".rstrip()


def _connection(place: Place, is_reversed: bool) -> Connection:
    return Connection(
        network=place.network,
        workload=place.workload,
        kind="container",
        address=place.address,
        mac=place.mac,
        interface=place.port,
        slot=1 - place.slot if is_reversed else place.slot,
    )


def _port(connection: Connection, ifindex: int) -> Port:
    return Port(
        network=connection.network,
        workload=connection.workload,
        interface=connection.interface,
        ifindex=ifindex,
        up=True,
        address=connection.address,
        mac=connection.mac,
    )


# ---- drawing ------------------------------------------------------------------------------------

_workloads = st.builds(Peer, st.just("workload"), st.sampled_from((*WORKLOADS, IDLE)))
_networks = st.builds(Peer, st.just("network"), st.sampled_from([net.name for net in NETWORKS]))
_ranges = st.builds(Peer, st.just("range"), st.sampled_from(_RANGES))
_sources = st.one_of(st.just(Peer("any")), st.just(Peer("outside")), _workloads, _networks, _ranges)
_dests = st.one_of(st.just(Peer("any")), st.just(Peer("host")), _workloads, _networks, _ranges)
_members = st.one_of(_workloads, _networks)
_services = st.one_of(
    st.just(("any", ())),
    st.just(("icmp", ())),
    st.tuples(
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from(
            [
                (),
                (PortRange(80, 80),),
                (PortRange(80, 81),),
                (PortRange(53, 53), PortRange(443, 443)),
                (PortRange(22, 22), PortRange(81, 8080)),
            ]
        ),
    ),
)


def _rule(
    source: Peer, dest: Peer, service: tuple[str, tuple[PortRange, ...]], action: str
) -> Rule:
    return Rule("", 0, source, dest, service[1], service[0], action)  # type: ignore[arg-type]


def _policy(
    source: Peer, target: Peer, service: tuple[str, tuple[PortRange, ...]], action: str
) -> Policy:
    return Policy("", 0, source, target, service[1], service[0], action)  # type: ignore[arg-type]


_rules = st.builds(
    _rule, _sources, _dests, _services, st.sampled_from(["accept", "drop", "reject"])
)
_policies = st.builds(_policy, _members, _members, _services, st.sampled_from(["allow", "deny"]))
_forwards = st.builds(
    Forward,
    protocol=st.sampled_from(["tcp", "udp"]),
    ports=st.sampled_from(
        [PortRange(80, 80), PortRange(81, 81), PortRange(8080, 8080), PortRange(80, 81)]
    ),
    target=st.sampled_from((*WORKLOADS, IDLE)),
    target_port=st.sampled_from([80, 81, 443]),
    host_ip=st.sampled_from([None, None, HOST, GATEWAYS["red"]]),
)


def _named(objects: list[T], prefix: str) -> tuple[T, ...]:
    return tuple(
        replace(each, name=f"{prefix}{number}", sequence=number)
        for number, each in enumerate(objects, 1)
    )


def _without_clashes(forwards: list[Forward]) -> tuple[Forward, ...]:
    """Those that `port add` would take: no host port of one protocol twice."""
    taken: set[tuple[str, int]] = set()
    kept = []
    for each in forwards:
        wanted = {(each.protocol, port) for port in range(each.ports.first, each.ports.last + 1)}
        if not wanted & taken:
            taken |= wanted
            kept.append(each)
    return tuple(kept)


states = st.builds(
    State,
    host=st.builds(
        HostPolicy,
        inbound=st.sampled_from(["deny", "deny", "allow"]),
        ports=st.sampled_from([(HostPort("tcp", 22, 22),), ()]),
        ping=st.booleans(),
    ),
    stopped=st.frozensets(st.sampled_from(("bob", "dan", "gus")), max_size=2),
    reversed=st.frozensets(st.sampled_from(_ON_TWO)),
    rules=st.lists(_rules, max_size=6).map(lambda each: _named(each, "rule")),
    policies=st.lists(_policies, max_size=5).map(lambda each: _named(each, "policy")),
    forwards=st.lists(_forwards, max_size=4).map(_without_clashes),
)


def without_one(state: State) -> Iterator[State]:
    """Every state that has one thing less."""
    for field in ("rules", "policies", "forwards"):
        present = getattr(state, field)
        for each in present:
            yield replace(state, **{field: tuple(one for one in present if one is not each)})
    for field in ("stopped", "reversed"):
        for name in sorted(getattr(state, field)):
            yield replace(state, **{field: getattr(state, field) - {name}})


# ---- attempts -----------------------------------------------------------------------------------


def every_attempt() -> Iterator[Probe]:
    """From every address to every other, by every protocol, on every port of the universe.

    Not from a workload to itself, which no firewall of the host sees.
    """
    for source, by, device in _sources_of_packets():
        for target in _targets(source):
            address = by or _by_host(target)
            yield Probe(source, address, device, target, "icmp")
            for port in PORTS:
                yield Probe(source, address, device, target, "tcp", port)
                yield Probe(source, address, device, target, "udp", port)


def _sources_of_packets() -> Iterator[tuple[str, IPv4Address | None, str]]:
    yield "host", None, ""
    yield "outside", OUTSIDE, ""
    for place in PLACES:
        yield place.workload, place.address, place.inside


def _targets(source: str) -> Iterator[IPv4Address]:
    yield from (place.address for place in PLACES if place.workload != source)
    yield HOST
    yield from GATEWAYS.values()
    if source != "outside":
        yield OUTSIDE
    if source == "host":
        yield LOOPBACK


def _by_host(target: IPv4Address) -> IPv4Address:
    """The address with which the host itself would speak to `target`."""
    for net in NETWORKS:
        if target in net.subnet:
            return net.gateway
    return LOOPBACK if target == LOOPBACK else HOST


ATTEMPTS = tuple(every_attempt())
