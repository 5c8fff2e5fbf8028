"""From a rule or policy to the elements that stand for it: for each shape, the values it names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from ..model.firewall import Peer, Policy, Rule
from .ruleset import Element
from .shape import Area, shape_name
from .spelling import Spelling

# A field of a shape with the values of one end: ("own", ("10.0.0.5", "10.30.0.5")).
End = tuple[str, tuple[str, ...]]

_BOTH_FAMILIES = ("ipv4", "ipv6")


def rule_elements(rule: Rule, spelling: Spelling, level: int) -> Iterator[Element]:
    """The elements of a rule at its level."""
    source, dest = _source(rule.source, spelling), _dest(rule.dest, spelling)
    area: Area = "host" if rule.dest.kind == "host" else "rule"
    yield from _elements(area, level, source, dest, rule, spelling)


def policy_elements(policy: Policy, spelling: Spelling) -> Iterator[Element]:
    """The elements of a policy. Denials are looked up first: they win, in whatever order made."""
    source, dest = _source(policy.source, spelling), _dest(policy.target, spelling)
    level = 0 if policy.action == "deny" else 1
    yield from _elements("policy", level, source, dest, policy, spelling)
    if policy.action == "allow":
        field, values = dest
        isolated = "isolated-bridges" if field == "net" else "isolated"
        yield from (Element(isolated, value) for value in values)


def _elements(
    area: Area, level: int, source: End, dest: End, each: Rule | Policy, spelling: Spelling
) -> Iterator[Element]:
    for service, keys in spelling.services(each):
        name = shape_name(area, level, source[0], dest[0], service, each.action)
        for parts in product(source[1], dest[1], keys):
            named = [part for part in parts if part]
            if named:
                yield Element(name, " . ".join(named))
            else:
                is_both = area == "host" and source[0] != "0"
                yield from (Element(name, each) for each in _BOTH_FAMILIES[: 1 + is_both])


def _source(peer: Peer, spelling: Spelling) -> End:
    if peer.kind == "workload":
        return "own", spelling.addresses[peer.name]
    return _end(peer, spelling)


def _dest(peer: Peer, spelling: Spelling) -> End:
    if peer.kind == "workload":
        return "32", spelling.addresses[peer.name]
    return _end(peer, spelling)


def _end(peer: Peer, spelling: Spelling) -> End:
    if peer.kind == "network":
        return "net", spelling.bridges(peer.name)
    if peer.kind == "range":
        subnet = peer.range
        value = str(subnet.network_address) if subnet.prefixlen else ""
        return str(subnet.prefixlen), (value,)
    return peer.kind, ("",)
