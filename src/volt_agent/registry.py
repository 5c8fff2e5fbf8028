"""The one writer: turns decisions into commits and publishes the snapshot after each.

A commit is all or nothing, in an order that a crash at any instruction cannot hurt:

1. `decide` looks at the current snapshot and returns a Change (or raises: nothing happened);
2. the firewall applies it in one transaction (refused: nothing happened);
3. the store makes it durable (refused: the firewall goes back);
4. the new snapshot is published, and the followers (DNS, reconciler) act on it before `commit`
   returns.

Dying between 2 and 3 leaves a kernel that the next start corrects; what was acknowledged is stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

from .errors import VoltError
from .model.snapshot import Change, Snapshot
from .store import Store

log = logging.getLogger(__name__)

Decision = Callable[[Snapshot], Change]


class Guard(Protocol):
    """A plane that may refuse a change: it takes effect before the change is stored."""

    async def apply(self, new: Snapshot, change: Change) -> float:
        """Milliseconds it took; raises KernelRefused, and then nothing has changed."""

    def apply_at_once(self, new: Snapshot, change: Change) -> float | None:
        """The same where nothing has to be waited for; None, and nothing has changed, where it
        has."""


class Follower(Protocol):
    """A plane that cannot refuse: it acts on what is published, at once and without waiting."""

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None: ...


class Commit(Struct, frozen=True):
    """What a commit did: the snapshots around it and how long each plane took (milliseconds)."""

    old: Snapshot
    new: Snapshot
    change: Change
    planes_ms: dict[str, float] = {}


class _Decided(NamedTuple):
    """What a decision on `old` asks for, and the snapshot `new` that it leads to."""

    old: Snapshot
    new: Snapshot
    change: Change


class Registry:
    """Holds the current `snapshot`; see the module for what a commit does."""

    def __init__(self, store: Store) -> None:
        self.snapshot = Snapshot()
        self._store = store
        self._guard: Guard | None = None
        self._followers: list[tuple[str | None, Follower]] = []
        self._lock = asyncio.Lock()
        self._is_publishing = False

    async def open(self) -> None:
        """Start from what the store holds."""
        self.snapshot = Snapshot().apply(await self._store.open())

    def guard_with(self, guard: Guard) -> None:
        """From now on `guard` has to accept a change before it is stored."""
        self._guard = guard

    def add_follower(self, name: str | None, follower: Follower) -> None:
        """Have `follower` act on every commit; its time is reported under `name`, unless None."""
        self._followers.append((name, follower))

    async def commit(self, decide: Decision) -> Commit:
        """Decide and carry out, to the end even if the caller is cancelled meanwhile."""
        first = None
        if not self._lock.locked():
            first = self._decide(decide)
            at_once = self._carry_out_at_once(first)
            if at_once is not None:
                return at_once
        return await asyncio.shield(asyncio.ensure_future(self._commit(decide, first)))

    def commit_at_once(self, decide: Decision) -> Commit | None:
        """The same without waiting, where neither the kernel nor the store is needed; None, and
        nothing was done, where one is, or another commit is under way.

        So are most starts, stops and ports: a task and its turns of the loop would cost more than
        the commit.
        """
        if self._lock.locked() or self._is_publishing:
            return None
        return self._carry_out_at_once(self._decide(decide))

    def _decide(self, decide: Decision) -> _Decided:
        old = self.snapshot
        change = decide(old)
        return _Decided(old, old if change.is_empty else old.apply(change), change)

    def _carry_out_at_once(self, decided: _Decided) -> Commit | None:
        old, new, change = decided
        if change.is_empty:
            return Commit(old, old, change)
        if change.is_durable:
            return None
        planes = dict[str, float]()
        if self._guard is not None:
            ms = self._guard.apply_at_once(new, change)
            if ms is None:
                return None
            planes["firewall"] = ms
        return self._publish(Commit(old, new, change, planes))

    async def rest(self) -> None:
        """Finish the commit that is under way; all others wait until `go_on`."""
        await self._lock.acquire()

    async def go_on(self) -> None:
        """Commit again, from what the store holds now: somebody else may have written meanwhile.
        Raises StoreFailed, and then commits still wait."""
        change = difference(self.snapshot, await self._store.open())
        if not change.is_empty:
            new = self.snapshot.apply(change)
            planes = (
                {} if self._guard is None else {"firewall": await self._guard.apply(new, change)}
            )
            self._publish(Commit(self.snapshot, new, change, planes))
        self._lock.release()

    async def _commit(self, decide: Decision, decided: _Decided | None) -> Commit:
        async with self._lock:
            if decided is None or decided.old is not self.snapshot:
                decided = self._decide(decide)
            old, new, change = decided
            if change.is_empty:
                return Commit(old, old, change)
            planes = await self._make_effective(old, new, change)
            return self._publish(Commit(old, new, change, planes))

    def _publish(self, commit: Commit) -> Commit:
        old, new, change, planes = commit.old, commit.new, commit.change, commit.planes_ms
        self.snapshot = new
        self._is_publishing = True
        try:
            for name, follower in self._followers:
                began = time.perf_counter()
                follower.follow(old, new, change)
                if name is not None:
                    planes[name] = (time.perf_counter() - began) * 1e3
        finally:
            self._is_publishing = False
        return commit

    async def _make_effective(
        self, old: Snapshot, new: Snapshot, change: Change
    ) -> dict[str, float]:
        planes = {}
        if self._guard is not None:
            planes["firewall"] = await self._guard.apply(new, change)
        if change.is_durable:
            began = time.perf_counter()
            try:
                await self._store.write(change)
            except VoltError:
                await self._take_back(old, change)
                raise
            planes["store"] = (time.perf_counter() - began) * 1e3
        return planes

    async def _take_back(self, old: Snapshot, change: Change) -> None:
        if self._guard is None:
            return
        try:
            await self._guard.apply(old, old.inverse(change))
        except VoltError as error:
            # The next restore or restart compiles from the snapshot, which never had the change.
            log.error("cannot take back a firewall change that was not stored: %s", error)


def difference(before: Snapshot, stored: Change) -> Change:
    """What leads from `before` to what is `stored` (puts of all desired objects)."""
    there = {(type(each), each.key) for each in stored.put}
    return Change(
        put=tuple(each for each in stored.put if before.find(each) != each),
        delete=tuple(each for each in before.desired() if (type(each), each.key) not in there),
    )
