"""The words of a ruleset, as values: tables with chains, sets and counters, and set elements.

What never changes is declared (`tables`); what grows with networks, workloads, rules and policies
are the elements of its sets. A set for each shape of rule (`shape`) and the chains that look them
up come and go with the elements (`generated`). Hence the difference of two compiled rulesets is one
small transaction whatever the number of workloads and rules.
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
    """A set of keys of type `key`; `interval`: keys may be ranges.

    With `data` it is a map to values of that type, and its elements read `key : value`. `counted`:
    each element counts the packets that were found by it.
    """

    name: str
    key: str
    interval: bool = False
    data: str | None = None
    counted: bool = False


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


class Element(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """One element of the set `set`: `key`, in nft's language.

    Of ten thousands none is looked at by the garbage collector, which stops all threads meanwhile.
    """

    set: str
    key: str


class Delta(Struct, frozen=True):
    """The step between two rulesets, in one transaction.

    New sets (by name), elements to `delete`, then those to `add`, `chains` in their new form, and
    last the sets that nothing looks at any more.
    """

    delete: tuple[Element, ...] = ()
    add: tuple[Element, ...] = ()
    new_sets: tuple[str, ...] = ()
    old_sets: tuple[str, ...] = ()
    chains: tuple[Chain, ...] = ()

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
