"""What a rule is about, and whether two rules contradict each other.

Whether they have a packet in common is judged generously where it would depend on more than the two
rules: a superfluous level costs one look-up, a missing one would be wrong.
"""

from __future__ import annotations

from msgspec import Struct

from ..model.firewall import Peer, Rule
from .spelling import Spelling

_HOST = frozenset(("host",))
_SINGLE = "/32"


class Footprint(Struct, frozen=True, gc=False):
    """A rule and what it is about: single addresses, the host, or (None) more than that."""

    rule: Rule
    dests: frozenset[str] | None

    @property
    def order(self) -> tuple[int, str]:
        return self.rule.sequence, self.rule.name


def footprint(rule: Rule, spelling: Spelling) -> Footprint:
    dest = rule.dest
    if dest.kind == "host":
        return Footprint(rule, _HOST)
    if dest.kind == "workload":
        return Footprint(rule, frozenset(spelling.addresses[dest.name]))
    if dest.kind == "range" and dest.name.endswith(_SINGLE):
        return Footprint(rule, frozenset((dest.name.removesuffix(_SINGLE),)))
    return Footprint(rule, None)


def contradict(one: Footprint, other: Footprint) -> bool:
    """Whether a packet may match both rules, which would do different things with it."""
    a, b = one.rule, other.rule
    return (
        a.action != b.action
        and (a.dest.kind == "host") == (b.dest.kind == "host")
        and _share_service(a, b)
        and _share_dest(one, other)
        and _share_source(a.source, b.source)
    )


def _share_service(a: Rule, b: Rule) -> bool:
    if "any" in (a.protocol, b.protocol):
        return True
    if a.protocol != b.protocol:
        return False
    if not a.ports or not b.ports:
        return True
    return any(p.first <= q.last and q.first <= p.last for p in a.ports for q in b.ports)


def _share_dest(one: Footprint, other: Footprint) -> bool:
    if one.dests is not None and other.dests is not None:
        return not one.dests.isdisjoint(other.dests)
    return _share_peer(one.rule.dest, other.rule.dest)


def _share_source(a: Peer, b: Peer) -> bool:
    kinds = {a.kind, b.kind}
    if "outside" in kinds and kinds & {"workload", "network"}:
        return False
    if kinds == {"workload"}:
        return a.name == b.name
    return _share_peer(a, b)


def _share_peer(a: Peer, b: Peer) -> bool:
    if a.kind == b.kind == "range":
        return a.range.overlaps(b.range)
    if a.kind == b.kind == "network":
        return a.name == b.name
    return True
