"""The words of a ruleset, as values: tables with chains, sets and counters, and set elements.

What never changes is declared (`tables`); what grows with networks and workloads are the elements
of its sets. Hence two compiled rulesets differ in elements only, and their difference is
one small transaction whatever the number of workloads.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# The family decides which packets a table sees: "inet" what is routed or addressed to the host,
# "bridge" the frames between the ports of a bridge.
Family = Literal["inet", "bridge"]

# Both tables have the handbook's name.
TABLE_NAME = "volt"


class Hook(Struct, frozen=True):
    """Where a base chain meets packets; `reason` says why there and at this priority.

    `priority` in nft's words ("filter - 5"): lower numbers come first (nft(8), "CHAINS").
    """

    type: Literal["filter", "nat"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"]
    priority: str
    reason: str


class Chain(Struct, frozen=True):
    """Rules in order, each one statement in nft's language; `hook` None for a helper."""

    name: str
    rules: tuple[str, ...] = ()
    hook: Hook | None = None


class Set(Struct, frozen=True):
    """A set of keys of type `key`; `interval`: keys may be ranges."""

    name: str
    key: str
    interval: bool = False


class Counter(Struct, frozen=True):
    """A named counter of dropped packets; `meaning` tells a user what they were."""

    name: str
    meaning: str


class Table(Struct, frozen=True):
    """Everything of one family. Names of sets and counters are unique over all tables."""

    family: Family
    counters: tuple[Counter, ...]
    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]


class Element(Struct, frozen=True, order=True):
    """One element of the set `set`: `key`, in nft's language."""

    set: str
    key: str


class Delta(Struct, frozen=True):
    """The step between two rulesets: first `delete`, then `add`, in one transaction."""

    delete: tuple[Element, ...] = ()
    add: tuple[Element, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.delete and not self.add


class DropCount(Struct, frozen=True):
    """How many packets a default of the policy has dropped since the ruleset was last loaded."""

    name: str
    family: Family
    meaning: str
    packets: int
    bytes: int
