"""What is not confirmed in time is rolled back, by the running agent and by the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.rules.build import site
from volt_agent.bus import Bus
from volt_agent.errors import StoreFailed
from volt_agent.events import RulesRolledBack
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.registry import Registry
from volt_agent.rules.confirm import confirmed, guarded, waiting
from volt_agent.rules.firewall import add_rule
from volt_agent.rules.keeper import ConfirmKeeper
from volt_agent.store import MemoryStore


class Disk(MemoryStore):
    """A store that is full for its next writes."""

    refusals = 0

    async def write(self, change: Change) -> int:
        if self.refusals:
            self.refusals -= 1
            raise StoreFailed("no space left on device")
        return await super().write(change)


class Parts:
    """A registry with a keeper that runs. Windows of the tests are shorter than a user may ask."""

    def __init__(self) -> None:
        self.disk, self.bus = Disk(), Bus()
        self.registry = Registry(self.disk)
        self.keeper = ConfirmKeeper(self.registry, self.bus)
        self.rolled_back = asyncio.Event()
        self.bus.subscribe(RulesRolledBack, lambda event: self.rolled_back.set())

    async def start(self) -> asyncio.Task[None]:
        await self.registry.open()
        if not self.registry.snapshot.networks:
            everything = site()
            put: tuple[Object, ...] = (
                *everything.networks.values(),
                *everything.workloads.values(),
            )
            await self.registry.commit(lambda now: Change(put=put))
        await self.keeper.start()
        self.registry.add_follower(None, self.keeper)
        return asyncio.create_task(self.keeper.run())

    async def add(self, window: float, now: float | None = None) -> None:
        def decide(snapshot: Snapshot) -> Change:
            change = add_rule(snapshot, "lock-out", "any", "host", "drop")
            return guarded(snapshot, change, "x", window, time.time() if now is None else now)

        await self.registry.commit(decide)


def run(scenario: Callable[[Parts], Awaitable[None]]) -> None:
    async def whole() -> None:
        parts = Parts()
        task = await parts.start()
        async with asyncio.timeout(60):
            await scenario(parts)
        task.cancel()

    asyncio.run(whole())


def test_without_a_confirmation_it_is_rolled_back() -> None:
    """The rule and the record are gone from snapshot and store, and an event says so."""

    async def scenario(parts: Parts) -> None:
        await parts.add(window=0.05)
        assert "lock-out" in parts.registry.snapshot.rules
        await parts.rolled_back.wait()
        stored = Snapshot().apply(await parts.disk.open())
        for snapshot in (parts.registry.snapshot, stored):
            assert not snapshot.rules
            assert not snapshot.unconfirmed

    run(scenario)


def test_a_confirmed_change_stays() -> None:
    """A later one has its own time: the first one's does not end it."""

    async def scenario(parts: Parts) -> None:
        await parts.add(window=600)
        await parts.registry.commit(confirmed)
        assert "lock-out" in parts.registry.snapshot.rules
        assert not parts.rolled_back.is_set()

    run(scenario)


def test_a_refused_rollback_is_tried_again() -> None:
    """A full disk must not lock anybody out for longer than it is full."""

    async def scenario(parts: Parts) -> None:
        await parts.add(window=0.05)
        parts.disk.refusals = 1
        await parts.rolled_back.wait()
        assert not parts.registry.snapshot.rules

    run(scenario)


def test_the_next_agent_rolls_back_what_is_overdue() -> None:
    """Before anything else is started; what is not overdue goes on waiting."""

    async def scenario() -> None:
        for window, stays in ((30.0, False), (600.0, True)):
            first = Parts()
            task = await first.start()
            await first.add(window, now=time.time() - 60)
            task.cancel()
            second = Parts()
            second.registry = Registry(first.disk)
            second.keeper = ConfirmKeeper(second.registry, second.bus)
            await second.registry.open()
            await second.keeper.start()
            assert ("lock-out" in second.registry.snapshot.rules) == stays
            assert (waiting(second.registry.snapshot) is not None) == stays

    asyncio.run(scenario())
