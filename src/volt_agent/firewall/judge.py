"""`decide` for many packets of one moment: only what concerns a packet is looked at."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from ipaddress import IPv4Address
from typing import TypeVar

from msgspec.structs import replace

from ..model.firewall import Forward, Policy, Rule
from ..model.snapshot import Snapshot
from .levels import footprint
from .verdict import Packet, Verdict, decide, forward_of, translated

T = TypeVar("T", Rule, Policy)


class Judge:
    """Knows the rules and policies of each address, and the forwards of each port.

    Made in O(objects): 50 ms for 10,000.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rules: dict[Hashable, list[Rule]] = {}
        self._policies: dict[Hashable, list[Policy]] = {}
        self._forwards: dict[tuple[str, int], list[Forward]] = {}
        for rule in snapshot.rules.values():
            dests = footprint(rule, snapshot).dests
            for key in (None,) if dests is None else dests:
                self._rules.setdefault(key, []).append(rule)
        for policy in snapshot.policies.values():
            for each in _targets(policy, snapshot):
                self._policies.setdefault(each, []).append(policy)
        for forward in snapshot.forwards.values():
            for port in range(forward.ports.first, forward.ports.last + 1):
                self._forwards.setdefault((forward.protocol, port), []).append(forward)

    def decide(self, packet: Packet) -> Verdict:
        """The same verdict as `verdict.decide` on the whole snapshot."""
        forwards = self._forwards.get((packet.protocol, packet.port), ())
        narrow = replace(self._snapshot, forwards={each.key: each for each in forwards})
        forward = forward_of(narrow, packet)
        end = translated(narrow, packet, forward) if forward is not None else packet
        narrow = replace(
            narrow,
            rules=_named(self._rules, (None, "host", end.destination)),
            policies=_named(self._policies, (None, end.destination)),
        )
        return decide(narrow, packet)


def _targets(policy: Policy, snapshot: Snapshot) -> Iterable[IPv4Address | None]:
    if policy.target.kind == "workload":
        return snapshot.addresses_of(policy.target.name)
    return (None,)


def _named(index: Mapping[Hashable, list[T]], keys: Iterable[Hashable]) -> dict[str, T]:
    return {each.name: each for key in keys for each in index.get(key, ())}
