"""Who names whom: the rules, policies and forwards that a workload or network takes part in."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.firewall import Forward, Peer, Policy, Rule
from ..model.network import Connection, Network
from ..model.snapshot import Object, Snapshot
from ..model.workload import Port

Named = Rule | Policy | Forward
Name = tuple[str, str]  # "workload" or "network", and what it is called


class References:
    """An index from names to the objects that use them."""

    def __init__(self) -> None:
        self._users: dict[Name, dict[tuple[type[Named], str], Named]] = {}

    def add(self, each: Named) -> None:
        for name in names_in(each):
            self._users.setdefault(name, {})[type(each), each.key] = each

    def discard(self, each: Named) -> None:
        for name in names_in(each):
            users = self._users.get(name, {})
            users.pop((type(each), each.key), None)
            if not users:
                self._users.pop(name, None)

    def users_of(self, each: Object) -> Iterator[Named]:
        """The objects whose fragment may differ because `each` came, changed or went."""
        if isinstance(each, Network):
            yield from self._users.get(("network", each.name), {}).values()
        elif isinstance(each, Connection | Port):
            yield from self._users.get(("workload", each.workload), {}).values()


def names_in(each: Named) -> set[Name]:
    if isinstance(each, Forward):
        return {("workload", each.target)}
    peers: tuple[Peer, Peer]
    peers = (each.source, each.dest if isinstance(each, Rule) else each.target)
    return {(peer.kind, peer.name) for peer in peers if peer.kind in ("workload", "network")}


def all_named(snapshot: Snapshot) -> Iterator[Named]:
    yield from snapshot.rules.values()
    yield from snapshot.policies.values()
    yield from snapshot.forwards.values()
