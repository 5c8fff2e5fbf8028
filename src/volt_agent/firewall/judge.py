"""`decide` for many packets of one moment: only what concerns a packet is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from ipaddress import IPv4Address
from typing import TypeVar

from ..model.firewall import Forward, Peer, Policy, Rule
from ..model.network import Network
from ..model.snapshot import Snapshot
from .facts import Facts
from .packet import Packet, Verdict
from .quote import dotted
from .verdict import decide_by

T = TypeVar("T", Rule, Policy)

# By the workload that is meant, "host", or a single address; under None what means more than that.
_About = dict[str | None, list[T]]

_SINGLE = "/32"


class Judge(Facts):
    """Knows the rules and policies about each workload, and the forwards of each port.

    Each index is made when it is first asked: 1 ms for 3,000 rules, policies or forwards.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._networks: dict[int, Network | None] = {}

    def decide(self, packet: Packet) -> Verdict:
        """The same verdict as `verdict.decide` on the whole snapshot."""
        return decide_by(self, packet)

    def rules_about(self, packet: Packet) -> Iterator[Rule]:
        return self._about(self._rules, packet)

    def policies_about(self, packet: Packet) -> Iterator[Policy]:
        return self._about(self._policies, packet)

    def forwards_of(self, packet: Packet) -> Iterable[Forward]:
        return self._forwards.get((packet.protocol, packet.port), ())

    def is_at(self, workload: str, address: IPv4Address) -> bool:
        return workload in self._workloads.get(int(address), ())

    def network_with(self, address: IPv4Address) -> Network | None:
        number = int(address)
        if number not in self._networks:
            self._networks[number] = super().network_with(address)
        return self._networks[number]

    def _about(self, index: _About[T], packet: Packet) -> Iterator[T]:
        yield from index.get(None, ())
        yield from index.get("host", ())
        yield from index.get(dotted(packet.destination) + _SINGLE, ())
        for workload in self._workloads.get(int(packet.destination), ()):
            yield from index.get(workload, ())

    @cached_property
    def _rules(self) -> _About[Rule]:
        return _indexed((each.dest, each) for each in self.snapshot.rules.values())

    @cached_property
    def _policies(self) -> _About[Policy]:
        return _indexed((each.target, each) for each in self.snapshot.policies.values())

    @cached_property
    def _forwards(self) -> dict[tuple[str, int], list[Forward]]:
        found: dict[tuple[str, int], list[Forward]] = {}
        for each in self.snapshot.forwards.values():
            for port in range(each.ports.first, each.ports.last + 1):
                found.setdefault((each.protocol, port), []).append(each)
        return found

    @cached_property
    def _workloads(self) -> dict[int, set[str]]:
        """Who has an address (as a number, which is hashed in a tenth of the time)."""
        found: dict[int, set[str]] = {}
        for table in (self.snapshot.connections, self.snapshot.ports):
            for each in table.values():
                if each.address is not None:
                    found.setdefault(int(each.address), set()).add(each.workload)
        return found


def _indexed(pairs: Iterable[tuple[Peer, T]]) -> _About[T]:
    index: _About[T] = {}
    for peer, each in pairs:
        index.setdefault(_key(peer), []).append(each)
    return index


def _key(peer: Peer) -> str | None:
    if peer.kind == "workload":
        return peer.name
    if peer.kind == "host":
        return "host"
    is_single = peer.kind == "range" and peer.name.endswith(_SINGLE)
    return peer.name if is_single else None
