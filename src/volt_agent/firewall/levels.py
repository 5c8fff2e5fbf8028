"""The order of rules: which of two look-ups has to come first.

Rules decide in the order of their creation, but look-ups by shape know no order within a set. Two
rules need an order only if a packet can match both and they would do different things with it. So
each rule has a level, one more than the highest level of the earlier rules that it contradicts, and
the look-ups go from level to level. Rules that do not contradict each other share level 0: ten
thousand rules about ten thousand workloads need no more look-ups than one.

Whether two rules have a packet in common is judged generously where it would depend on more than
the two rules: a superfluous level costs one look-up, a missing one would be wrong.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Iterator, Mapping

from msgspec import Struct

from ..model.firewall import Peer, Rule
from ..model.snapshot import Snapshot

# Beyond this many changed rules everything is levelled anew.
_FEW = 64


class Footprint(Struct, frozen=True):
    """A rule and what it is about: single addresses, the host, or (None) more than that."""

    rule: Rule
    dests: frozenset[Hashable] | None

    @property
    def order(self) -> tuple[int, str]:
        return self.rule.sequence, self.rule.name


Footprints = Mapping[str, Footprint | None]


class LevelStep(Struct, frozen=True):
    """New footprints (None: the rule is gone) and the levels that differ because of them."""

    footprints: Footprints
    levels: Mapping[str, int]


def footprint(rule: Rule, snapshot: Snapshot) -> Footprint:
    dest = rule.dest
    if dest.kind == "host":
        return Footprint(rule, frozenset(("host",)))
    if dest.kind == "workload":
        return Footprint(rule, frozenset(snapshot.addresses_of(dest.name)))
    if dest.kind == "range" and dest.range.prefixlen == 32:
        return Footprint(rule, frozenset((dest.range.network_address,)))
    return Footprint(rule, None)


class Levels:
    """The level of every rule. `plan` decides, `adopt` remembers."""

    def __init__(self) -> None:
        self._footprints: dict[str, Footprint] = {}
        self._levels: dict[str, int] = {}
        self._about: dict[Hashable, dict[str, Footprint]] = {}
        self._wide: dict[str, Footprint] = {}

    def __getitem__(self, rule: str) -> int:
        return self._levels[rule]

    def plan(self, updates: Footprints) -> LevelStep:
        """What changes with `updates` (rule name to footprint, None: gone). Changes nothing."""
        updates = {
            name: each for name, each in updates.items() if each != self._footprints.get(name)
        }
        if len(updates) > _FEW:
            return self._plan_anew(updates)
        return LevelStep(updates, _Propagation(self, updates).run())

    def adopt(self, step: LevelStep) -> None:
        for name, each in step.footprints.items():
            self._forget(name)
            if each is not None:
                self._remember(each)
        for name, level in step.levels.items():
            self._levels[name] = level

    def _plan_anew(self, updates: Footprints) -> LevelStep:
        everything = {**self._footprints, **updates}
        anew = Levels()
        for each in sorted((one for one in everything.values() if one), key=lambda one: one.order):
            anew._levels[each.rule.name] = anew._level(each, anew._levels)
            anew._remember(each)
        changed = {
            name: level for name, level in anew._levels.items() if self._levels.get(name) != level
        }
        return LevelStep(updates, changed)

    def _level(self, each: Footprint, levels: Mapping[str, int]) -> int:
        earlier = (
            levels[other.rule.name]
            for other in self.near(each)
            if other.order < each.order and contradict(other, each)
        )
        return 1 + max(earlier, default=-1)

    def near(self, each: Footprint) -> Iterator[Footprint]:
        """Those that might have a packet in common with it, itself included."""
        if each.dests is None:
            yield from self._footprints.values()
            return
        groups = [self._about.get(key, {}) for key in each.dests]
        yield from {name: one for group in groups for name, one in group.items()}.values()
        yield from self._wide.values()

    def level_or_none(self, name: str) -> int | None:
        return self._levels.get(name)

    def present(self, name: str) -> Footprint | None:
        return self._footprints.get(name)

    def _remember(self, each: Footprint) -> None:
        name = each.rule.name
        self._footprints[name] = each
        if each.dests is None:
            self._wide[name] = each
        for key in each.dests or ():
            self._about.setdefault(key, {})[name] = each

    def _forget(self, name: str) -> None:
        before = self._footprints.pop(name, None)
        self._wide.pop(name, None)
        self._levels.pop(name, None) if before is not None else None
        for key in (before.dests or ()) if before is not None else ():
            group = self._about[key]
            del group[name]
            if not group:
                del self._about[key]


class _Propagation:
    """Levels after a few updates: only rules that contradict a changed one are looked at again."""

    def __init__(self, base: Levels, updates: Footprints) -> None:
        self._base, self._updates = base, updates
        self._new: dict[str, int] = {}
        self._heap: list[tuple[tuple[int, str], str]] = []
        self._queued: set[str] = set()

    def run(self) -> dict[str, int]:
        for name, after in self._updates.items():
            before = self._base.present(name)
            for each in (before, after):
                if each is not None:
                    self._queue_later(each)
            if after is not None:
                self._queue(after)
        while self._heap:
            _order, name = heapq.heappop(self._heap)
            self._recompute(name)
        return self._new

    def _recompute(self, name: str) -> None:
        each = self._present(name)
        assert each is not None
        level = 1 + max(
            (
                self._level_of(other.rule.name)
                for other in self._near(each)
                if other.order < each.order and contradict(other, each)
            ),
            default=-1,
        )
        is_new = name in self._updates
        if level == self._base.level_or_none(name) and not is_new:
            return
        moved = level != self._base.level_or_none(name)
        self._new[name] = level
        if moved:
            self._queue_later(each)

    def _queue_later(self, each: Footprint) -> None:
        for other in self._near(each):
            if other.order > each.order and contradict(each, other):
                self._queue(other)

    def _queue(self, each: Footprint) -> None:
        if each.rule.name not in self._queued:
            self._queued.add(each.rule.name)
            heapq.heappush(self._heap, (each.order, each.rule.name))

    def _near(self, each: Footprint) -> Iterator[Footprint]:
        for other in self._base.near(each):
            if other.rule.name not in self._updates:
                yield other
        yield from (other for other in self._updates.values() if other is not None)

    def _present(self, name: str) -> Footprint | None:
        return self._updates[name] if name in self._updates else self._base.present(name)

    def _level_of(self, name: str) -> int:
        if name in self._new:
            return self._new[name]
        level = self._base.level_or_none(name)
        return level if level is not None else 0


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


def levels_of(footprints: Iterable[Footprint]) -> Levels:
    levels = Levels()
    levels.adopt(levels._plan_anew({each.rule.name: each for each in footprints}))
    return levels
