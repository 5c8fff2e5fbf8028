"""Commits are all or nothing, in an order that a refusal on the way cannot hurt."""

from __future__ import annotations

import asyncio

import pytest

from tests.networks.build import AROUND
from volt_agent.errors import KernelRefused, Refused, StoreFailed
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Instance
from volt_agent.networks.decide import create_network
from volt_agent.registry import Registry
from volt_agent.store import MemoryStore


class Ruleset:
    """A guard that refuses on request, and knows which networks are in force."""

    def __init__(self) -> None:
        self.in_force: set[str] = set()
        self.refuses = False
        self.applied = 0
        self.at_once = False

    def apply_at_once(self, new: Snapshot, change: Change) -> float | None:
        if not self.at_once:
            return None
        self.applied += 1
        return 0.1

    async def apply(self, new: Snapshot, change: Change) -> float:
        if self.refuses:
            raise KernelRefused("the kernel says no")
        await asyncio.sleep(0)
        self.applied += 1
        self.in_force = set(new.networks)
        return 0.5


class Disk(MemoryStore):
    """A store whose disk is full on request."""

    is_full = False

    async def write(self, change: Change) -> int:
        if self.is_full:
            raise StoreFailed("no space left on device")
        return await super().write(change)


class Reader:
    """A follower that remembers what was published."""

    def __init__(self) -> None:
        self.seen: list[Snapshot] = []

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        self.seen.append(new)


class Parts:
    def __init__(self) -> None:
        self.disk, self.ruleset, self.reader = Disk(), Ruleset(), Reader()
        self.registry = Registry(self.disk)
        self.registry.guard_with(self.ruleset)
        self.registry.add_follower("reader", self.reader)

    async def create(self, name: str) -> None:
        await self.registry.commit(lambda snapshot: create_network(snapshot, AROUND, name))

    async def stored(self) -> set[str]:
        return set(Snapshot().apply(await self.disk.open()).networks)


def test_a_commit_reaches_firewall_store_and_followers() -> None:
    """In that order, and commit returns after all of them."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        await parts.create("backend")
        assert parts.ruleset.in_force == {"backend"}
        assert [set(each.networks) for each in parts.reader.seen] == [{"backend"}]
        assert await parts.stored() == {"backend"}

    asyncio.run(scenario())


def test_what_the_kernel_refuses_is_neither_stored_nor_published() -> None:
    """Fail closed: the old ruleset stays in force and the caller learns why."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        parts.ruleset.refuses = True
        with pytest.raises(KernelRefused):
            await parts.create("backend")
        assert not parts.registry.snapshot.networks
        assert not parts.reader.seen
        assert await parts.stored() == set()

    asyncio.run(scenario())


def test_what_the_store_refuses_is_taken_back_from_the_firewall() -> None:
    """A full disk refuses changes and leaves everything as it was; later ones succeed."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        await parts.create("first")
        parts.disk.is_full = True
        with pytest.raises(StoreFailed):
            await parts.create("second")
        assert parts.ruleset.in_force == {"first"}
        assert set(parts.registry.snapshot.networks) == {"first"}
        parts.disk.is_full = False
        await parts.create("third")
        assert await parts.stored() == {"first", "third"}

    asyncio.run(scenario())


def test_what_concerns_neither_kernel_nor_store_is_committed_without_waiting() -> None:
    """The workload's start is published before the loop turns once."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        parts.ruleset.at_once = True
        change = Change(put=(Instance("web", "container", "netns", "1:2"),))
        with pytest.raises(StopIteration) as ended:
            parts.registry.commit(lambda snapshot: change).send(None)
        assert ended.value.value.planes_ms.keys() == {"firewall", "reader"}
        assert parts.ruleset.applied == 1
        assert [set(each.instances) for each in parts.reader.seen] == [{"web"}]

    asyncio.run(scenario())


def test_what_cannot_be_committed_at_once_is_left_undone() -> None:
    """What the kernel or the store has to know, and what a follower asks for while others have not
    seen the last commit."""

    async def scenario() -> None:
        parts, nested = Parts(), list[object]()
        await parts.registry.open()
        start = Change(put=(Instance("web", "container", "netns", "1:2"),))

        class Eager(Reader):
            def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
                nested.append(parts.registry.commit_at_once(lambda snapshot: start))

        assert parts.registry.commit_at_once(lambda snapshot: start) is None
        parts.ruleset.at_once = True
        stored = parts.registry.commit_at_once(lambda s: create_network(s, AROUND, "backend"))
        assert (stored, parts.reader.seen) == (None, [])
        parts.registry.add_follower(None, Eager())
        commit = parts.registry.commit_at_once(lambda snapshot: start)
        assert commit is not None
        assert commit.new.instances.keys() == {"web"}
        assert nested == [None]

    asyncio.run(scenario())


def test_a_decision_that_refuses_changes_nothing() -> None:
    """Whatever decide raises reaches the caller, and nobody else hears of it."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()

        def refuse(snapshot: Snapshot) -> Change:
            raise Refused("no")

        with pytest.raises(Refused):
            await parts.registry.commit(refuse)
        assert parts.ruleset.applied == 0

    asyncio.run(scenario())


def test_a_cancelled_caller_does_not_leave_half_a_commit() -> None:
    """Once begun, a commit goes to its end."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        caller = asyncio.ensure_future(parts.create("backend"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await parts.create("other")
        assert await parts.stored() == {"backend", "other"}
        assert parts.ruleset.in_force == {"backend", "other"}

    asyncio.run(scenario())


def test_what_was_only_seen_is_not_stored() -> None:
    """An instance is published without troubling the store."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        instance = Instance(name="web", kind="container", runtime="netns", identity="1")
        parts.disk.is_full = True
        commit = await parts.registry.commit(lambda snapshot: Change(put=(instance,)))
        assert "store" not in commit.planes_ms
        assert parts.registry.snapshot.instances["web"] == instance

    asyncio.run(scenario())


def test_concurrent_commits_are_decided_one_after_the_other() -> None:
    """Twenty at once: nobody decides on a snapshot that is no longer current."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        await asyncio.gather(*(parts.create(f"net{number}") for number in range(20)))
        subnets = {each.subnet for each in parts.registry.snapshot.networks.values()}
        assert len(subnets) == 20

    asyncio.run(scenario())


def test_after_a_rest_the_store_counts() -> None:
    """Commits wait meanwhile; what somebody else has written is published when it goes on."""

    async def scenario() -> None:
        parts = Parts()
        await parts.registry.open()
        await parts.create("backend")
        await parts.registry.rest()
        waiting = asyncio.ensure_future(parts.create("late"))
        theirs = create_network(parts.registry.snapshot, AROUND, "theirs")
        ours = parts.registry.snapshot.networks["backend"]
        await parts.disk.write(Change(put=theirs.put, delete=(ours,)))
        assert not waiting.done()
        await parts.registry.go_on()
        await waiting
        assert parts.ruleset.in_force == await parts.stored() == {"theirs", "late"}

    asyncio.run(scenario())
