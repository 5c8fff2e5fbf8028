"""From a rule or policy to the elements that stand for it: for each shape, the values it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from ..model.firewall import Peer, Policy, Rule
from ..model.ports import PortRange
from ..model.snapshot import Snapshot
from .quote import quoted
from .ruleset import Element
from .shape import BLOCK, Area, Service, Shape

# A field of a shape with the values of one end: ("own", ["10.0.0.5", "10.30.0.5"]).
End = tuple[str, list[str]]

# Ports up to here become an element each; of more, whole blocks become one.
_SINGLE_PORTS = 2 * BLOCK

_BOTH_FAMILIES = ("ipv4", "ipv6")


def rule_elements(rule: Rule, snapshot: Snapshot, level: int) -> Iterator[Element]:
    """The elements of a rule at its level."""
    source, dest = _source(rule.source, snapshot), _dest(rule.dest, snapshot)
    area: Area = "host" if rule.dest.kind == "host" else "rule"
    yield from _elements(area, level, source, dest, rule, rule.action)


def policy_elements(policy: Policy, snapshot: Snapshot) -> Iterator[Element]:
    """The elements of a policy. Denials are looked up first: they win, in whatever order made."""
    source, dest = _source(policy.source, snapshot), _dest(policy.target, snapshot)
    level = 0 if policy.action == "deny" else 1
    yield from _elements("policy", level, source, dest, policy, policy.action)
    if policy.action == "allow":
        field, values = dest
        isolated = "isolated-bridges" if field == "net" else "isolated"
        yield from (Element(isolated, value) for value in values)


def _elements(
    area: Area, level: int, source: End, dest: End, each: Rule | Policy, action: str
) -> Iterator[Element]:
    for service, keys in _services(each):
        shape = Shape(area, level, source[0], dest[0], service, action)
        name = shape.name
        for parts in product(source[1], dest[1], keys):
            named = [part for part in parts if part]
            if named:
                yield Element(name, " . ".join(named))
            else:
                is_both = area == "host" and source[0] != "0"
                yield from (Element(name, each) for each in _BOTH_FAMILIES[: 1 + is_both])


def _source(peer: Peer, snapshot: Snapshot) -> End:
    if peer.kind == "workload":
        return "own", _addresses(peer.name, snapshot)
    return _end(peer, snapshot)


def _dest(peer: Peer, snapshot: Snapshot) -> End:
    if peer.kind == "workload":
        return "32", _addresses(peer.name, snapshot)
    return _end(peer, snapshot)


def _end(peer: Peer, snapshot: Snapshot) -> End:
    if peer.kind == "network":
        network = snapshot.networks.get(peer.name)
        return "net", [quoted(network.bridge)] if network is not None else []
    if peer.kind == "range":
        subnet = peer.range
        value = str(subnet.network_address) if subnet.prefixlen else ""
        return str(subnet.prefixlen), [value]
    return peer.kind, [""]


def _addresses(workload: str, snapshot: Snapshot) -> list[str]:
    return [str(each) for each in snapshot.addresses_of(workload)]


def _services(each: Rule | Policy) -> Iterator[tuple[Service, list[str]]]:
    if each.protocol == "any":
        yield "any", [""]
    elif not each.ports:
        yield "proto", [each.protocol]
    else:
        singles, blocks = split_ports(each.ports)
        if singles:
            yield "port", [f"{each.protocol} . {port}" for port in singles]
        if blocks:
            yield "block", [f"{each.protocol} . {port}" for port in blocks]


def split_ports(ports: Iterable[PortRange]) -> tuple[list[int], list[int]]:
    """The same ports as single ones and as first ports of whole blocks."""
    singles: list[int] = []
    blocks: list[int] = []
    for each in ports:
        if each.count <= _SINGLE_PORTS:
            singles += range(each.first, each.last + 1)
            continue
        begin = -(-each.first // BLOCK) * BLOCK
        end = (each.last + 1) // BLOCK * BLOCK
        singles += [*range(each.first, begin), *range(end, each.last + 1)]
        blocks += range(begin, end, BLOCK)
    return singles, blocks
