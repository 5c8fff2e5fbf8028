"""The compiled ruleset, kept up to date object by object.

Two objects may ask for the same element (a port that moves from one network to another is for a
moment on both), so elements count their claims: one is in the ruleset while anybody claims it.
Whatever the order of events, this leads to the same ruleset as compiling everything from scratch; a
property test shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct

from ..model.firewall import Rule
from ..model.snapshot import Change, Object, Snapshot
from .compile import Fragment, ObjectId, dependents, fragment, identity, sources
from .footprint import footprint
from .generated import generated_chains, is_generated
from .levels import Levels, LevelStep, levels_of
from .references import Named, References
from .ruleset import Delta, Element
from .spelling import Spelling


class Step(Struct, frozen=True):
    """What a change would do: the new `fragments` of the objects it touches, and the `delta`.

    `named` are the rules, policies and forwards that came, changed or went (then None); `levels`
    those of rules.
    """

    fragments: dict[ObjectId, Fragment]
    delta: Delta
    named: tuple[tuple[ObjectId, Named | None], ...]
    levels: LevelStep


class Compiled:
    """The elements of a snapshot.

    `plan` decides and `adopt` remembers: in between the kernel may refuse.
    """

    def __init__(self) -> None:
        self._fragments: dict[ObjectId, Fragment] = {}
        self._claims: dict[Element, int] = {}
        self._named: dict[ObjectId, Named] = {}
        self._references = References()
        self._levels = Levels()
        self._sizes: dict[str, int] = {}  # of the generated sets

    @classmethod
    def of(cls, snapshot: Snapshot) -> Compiled:
        """Compile everything: about 10 us for each object."""
        compiled, spelling = cls(), Spelling(snapshot)
        compiled._levels = levels_of(footprint(each, spelling) for each in snapshot.rules.values())
        for key, each in sources(snapshot):
            found = fragment(each, spelling, compiled._level(each, {}))
            if found:
                compiled._fragments[key] = found
            if isinstance(each, Named):
                compiled._name(key, each)
        compiled._count()
        return compiled

    def plan(self, snapshot: Snapshot, change: Change) -> Step:
        """The step to `snapshot`, which is the one after `change`. Changes nothing.

        Costs O(touched objects), and O(connections) if a network is among them.
        """
        spelling = Spelling(snapshot)
        affected = {identity(each): each for each in self._affected(snapshot, change)}
        levels = self._plan_levels(affected.values(), spelling)
        for name in levels.levels:
            rule = snapshot.rules[name]
            affected[identity(rule)] = rule
        fragments, named = {}, []
        for key, each in affected.items():
            found = snapshot.find(each)
            after: Fragment = ()
            if found is not None:
                after = fragment(found, spelling, self._level(found, levels.levels))
            if after != self._fragments.get(key, ()):
                fragments[key] = after
            if isinstance(each, Named):
                assert found is None or isinstance(found, Named)
                if found != self._named.get(key):
                    named.append((key, found))
        return Step(fragments, self._delta(fragments), tuple(named), levels)

    def adopt(self, step: Step) -> None:
        """Take a planned step for done."""
        self._replace(step.fragments)
        self._levels.adopt(step.levels)
        for key, after in step.named:
            before = self._named.pop(key, None)
            if before is not None:
                self._references.discard(key, before)
            if after is not None:
                self._name(key, after)

    def elements(self) -> Iterator[Element]:
        """All elements, in no particular order."""
        return iter(self._claims)

    def fragment_of(self, each: Object) -> Fragment:
        """The elements of an object as compiled."""
        return self._fragments.get(identity(each), ())

    def generated_sets(self) -> Iterator[str]:
        """The names of the generated sets that have elements."""
        return iter(self._sizes)

    def __repr__(self) -> str:
        return f"<Compiled [{len(self._fragments)} objects, {len(self._claims)} elements]>"

    def _plan_levels(self, affected: Iterable[Object], spelling: Spelling) -> LevelStep:
        present = spelling.snapshot.rules
        return self._levels.plan(
            {
                each.name: footprint(present[each.name], spelling) if each.name in present else None
                for each in affected
                if isinstance(each, Rule)
            }
        )

    def _affected(self, snapshot: Snapshot, change: Change) -> Iterator[Object]:
        for each in change.touched():
            yield each
            yield from dependents(each, snapshot)
            yield from self._references.users_of(each)

    def _level(self, each: Object, changed: Mapping[str, int]) -> int:
        if not isinstance(each, Rule):
            return 0
        level = changed.get(each.name)
        return self._levels[each.name] if level is None else level

    def _delta(self, fragments: Mapping[ObjectId, Fragment]) -> Delta:
        delete, add = [], []
        for element, change in self._claim_changes(fragments).items():
            before = self._claims.get(element, 0)
            if before and not before + change:
                delete.append(element)
            elif change and not before:
                add.append(element)
        return self._with_structure(tuple(sorted(delete)), tuple(sorted(add)))

    def _with_structure(self, delete: Fragment, add: Fragment) -> Delta:
        """With the generated sets and chains that come and go with these elements."""
        sizes = dict.fromkeys((each.set for each in (*delete, *add) if is_generated(each.set)), 0)
        if not sizes:
            return Delta(delete, add)
        for elements, sign in ((delete, -1), (add, 1)):
            for each in elements:
                if each.set in sizes:
                    sizes[each.set] += sign
        new = tuple(name for name in sizes if name not in self._sizes)
        old = tuple(name for name, size in sizes.items() if not self._sizes.get(name, 0) + size)
        if not new and not old:
            return Delta(delete, add)
        before = set(self._sizes)
        chains = zip(
            generated_chains(before), generated_chains((before | set(new)) - set(old)), strict=True
        )
        changed = tuple(after for was, after in chains if was != after)
        return Delta(delete, add, new, old, changed)

    def _claim_changes(self, fragments: Mapping[ObjectId, Fragment]) -> dict[Element, int]:
        """How many more (or fewer) objects claim each element."""
        changes: dict[Element, int] = {}
        for key, after in fragments.items():
            for element in after:
                changes[element] = changes.get(element, 0) + 1
            for element in self._fragments.get(key, ()):
                changes[element] = changes.get(element, 0) - 1
        return changes

    def _name(self, key: ObjectId, each: Named) -> None:
        self._named[key] = each
        self._references.add(key, each)

    def _count(self) -> None:
        """The claims of all fragments, where there are none yet."""
        self._claims = Counter(chain.from_iterable(self._fragments.values()))
        sizes = Counter(map(attrgetter("set"), self._claims))
        self._sizes = {name: size for name, size in sizes.items() if is_generated(name)}

    def _replace(self, fragments: Mapping[ObjectId, Fragment]) -> None:
        for element, change in self._claim_changes(fragments).items():
            before = self._claims.get(element, 0)
            after = before + change
            _set_or_drop(self._claims, element, after)
            if bool(before) != bool(after) and is_generated(element.set):
                size = self._sizes.get(element.set, 0) + (1 if after else -1)
                _set_or_drop(self._sizes, element.set, size)
        for key, each in fragments.items():
            _set_or_drop(self._fragments, key, each)


K = TypeVar("K")
V = TypeVar("V", int, Fragment)


def _set_or_drop(table: dict[K, V], key: K, value: V) -> None:
    """Keep only what is not empty, so that nothing grows with what is gone."""
    if value:
        table[key] = value
    else:
        table.pop(key, None)
