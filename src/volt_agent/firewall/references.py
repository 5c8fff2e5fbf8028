"""Who names whom: the rules, policies and forwards that a workload or network takes part in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..model.firewall import Forward, Policy, Rule
from ..model.network import Connection, Network
from ..model.snapshot import Object
from ..model.workload import Port
from .compile import ObjectId

Named = Rule | Policy | Forward
Kind = Literal["workload", "network"]


class References:
    """An index from workloads and networks to the objects that name them."""

    def __init__(self) -> None:
        self._users: dict[Kind, dict[str, dict[ObjectId, Named]]] = {"workload": {}, "network": {}}

    def add(self, identity: ObjectId, each: Named) -> None:
        for kind, name in _names_in(each):
            self._users[kind].setdefault(name, {})[identity] = each

    def discard(self, identity: ObjectId, each: Named) -> None:
        for kind, name in _names_in(each):
            users = self._users[kind].get(name, {})
            users.pop(identity, None)
            if not users:
                self._users[kind].pop(name, None)

    def users_of(self, each: Object) -> Iterator[Named]:
        """The objects whose fragment may differ because `each` came, changed or went."""
        if isinstance(each, Network):
            yield from self._users["network"].get(each.name, {}).values()
        elif isinstance(each, Connection | Port):
            yield from self._users["workload"].get(each.workload, {}).values()


def _names_in(each: Named) -> Iterator[tuple[Kind, str]]:
    if isinstance(each, Forward):
        yield "workload", each.target
        return
    for peer in (each.source, each.dest if isinstance(each, Rule) else each.target):
        if peer.kind == "workload" or peer.kind == "network":
            yield peer.kind, peer.name
