"""The order of rules: which of two look-ups has to come first.

Rules decide in the order of their creation, but look-ups by shape know no order within a set. Two
rules need an order only if a packet can match both and they would do different things with it. So
each rule has a level, one more than the highest level of the earlier rules that it contradicts, and
the look-ups go from level to level. Rules that do not contradict each other share level 0: ten
thousand rules about ten thousand workloads need no more look-ups than one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from ..model.firewall import RuleAction
from .footprint import Footprint, contradict

# Beyond this many changed rules everything is levelled anew.
_FEW = 64

Footprints = Mapping[str, Footprint | None]


class LevelStep(Struct, frozen=True):
    """New footprints (None: the rule is gone) and the levels that differ because of them."""

    footprints: Footprints
    levels: Mapping[str, int]


class Levels:
    """The level of every rule. `plan` decides, `adopt` remembers."""

    def __init__(self) -> None:
        self._footprints: dict[str, Footprint] = {}
        self._levels: dict[str, int] = {}
        self._shelves: dict[RuleAction, _Shelf] = {}

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
            if contradict(other, each) and other.order < each.order
        )
        return 1 + max(earlier, default=-1)

    def near(self, each: Footprint) -> Iterator[Footprint]:
        """Those of other actions that might have a packet in common with it; some twice."""
        for action, shelf in self._shelves.items():
            if action != each.rule.action:
                yield from shelf.near(each)

    def level_or_none(self, name: str) -> int | None:
        return self._levels.get(name)

    def present(self, name: str) -> Footprint | None:
        return self._footprints.get(name)

    def _remember(self, each: Footprint) -> None:
        self._footprints[each.rule.name] = each
        self._shelves.setdefault(each.rule.action, _Shelf()).add(each)

    def _forget(self, name: str) -> None:
        before = self._footprints.pop(name, None)
        if before is not None:
            self._levels.pop(name, None)
            self._shelves[before.rule.action].discard(before)


class _Shelf:
    """The rules of one action, by what they are about."""

    def __init__(self) -> None:
        self._all: dict[str, Footprint] = {}
        self._about: dict[str, dict[str, Footprint]] = {}
        self._wide: dict[str, Footprint] = {}

    def near(self, each: Footprint) -> Iterator[Footprint]:
        if each.dests is None:
            yield from self._all.values()
            return
        for key in each.dests:
            yield from self._about.get(key, {}).values()
        yield from self._wide.values()

    def add(self, each: Footprint) -> None:
        name = each.rule.name
        self._all[name] = each
        if each.dests is None:
            self._wide[name] = each
        for key in each.dests or ():
            self._about.setdefault(key, {})[name] = each

    def discard(self, each: Footprint) -> None:
        name = each.rule.name
        del self._all[name]
        self._wide.pop(name, None)
        for key in each.dests or ():
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
                if contradict(other, each) and other.order < each.order
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
            if contradict(each, other) and other.order > each.order:
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


def levels_of(footprints: Iterable[Footprint]) -> Levels:
    levels = Levels()
    levels.adopt(levels._plan_anew({each.rule.name: each for each in footprints}))
    return levels
