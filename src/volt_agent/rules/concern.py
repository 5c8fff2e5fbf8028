"""Which rules and policies are about a workload: plain functions on the snapshot."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address

from msgspec import Struct

from ..model.firewall import Peer, Policy, Rule
from ..model.snapshot import Snapshot


class Subject(Struct, frozen=True):
    """A workload with everything by which a rule may mean it."""

    name: str
    networks: Collection[str]
    addresses: Collection[IPv4Address]

    def is_meant_by(self, peer: Peer) -> bool:
        """Whether `peer` singles it out; "any" and "outside" mean nobody in particular."""
        match peer.kind:
            case "workload":
                return peer.name == self.name
            case "network":
                return peer.name in self.networks
            case "range":
                return any(address in peer.range for address in self.addresses)
            case _:
                return False


def rules_about(subject: Subject, snapshot: Snapshot) -> list[Rule]:
    """The firewall rules that mean it, first asked first."""
    found = [
        each
        for each in snapshot.rules.values()
        if subject.is_meant_by(each.source) or subject.is_meant_by(each.dest)
    ]
    return sorted(found, key=lambda each: each.sequence)


def policies_about(subject: Subject, snapshot: Snapshot) -> list[Policy]:
    """The policies that mean it, oldest first."""
    found = [
        each
        for each in snapshot.policies.values()
        if subject.is_meant_by(each.source) or subject.is_meant_by(each.target)
    ]
    return sorted(found, key=lambda each: each.sequence)
