"""The task that rolls back what was not confirmed in time."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import anyio

from ..bus import Bus
from ..errors import VoltError
from ..events import RulesRolledBack
from ..model.confirm import Unconfirmed
from ..model.snapshot import Change, Snapshot
from ..registry import Registry
from .confirm import rolled_back, seconds_left, waiting

log = logging.getLogger(__name__)

# The disk may be full, or the kernel refuse: the administrator may be locked out, so insist.
RETRY = 1.0


class ConfirmKeeper:
    """Watches the one change that may wait; a follower of the registry.

    In the running agent the time is counted by the monotonic clock, so that setting the clock
    neither shortens nor prolongs it; over a restart only the wall clock goes on.
    """

    def __init__(self, registry: Registry, bus: Bus) -> None:
        self._registry, self._bus = registry, bus
        self._due = math.inf  # on the loop's clock
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Before the firewall is loaded: what is overdue is rolled back at once."""
        pending = waiting(self._registry.snapshot)
        if pending is None:
            return
        left = seconds_left(pending, time.time())
        log.warning("unconfirmed: %s (%.0f s left)", pending.what, left)
        self._due = asyncio.get_running_loop().time() + left
        if left <= 0:
            await self._roll_back(pending)

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        if old.unconfirmed is new.unconfirmed:
            return
        pending = waiting(new)
        now = asyncio.get_running_loop().time()
        self._due = now + pending.window if pending is not None else math.inf
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            with anyio.CancelScope(deadline=self._due):
                await self._changed.wait()
                continue
            pending = waiting(self._registry.snapshot)
            if pending is not None:
                await self._roll_back(pending)

    async def _roll_back(self, pending: Unconfirmed) -> None:
        try:
            commit = await self._registry.commit(lambda now: rolled_back(now, pending))
        except VoltError as error:
            log.error("cannot roll back what was not confirmed (%s): %s", pending.what, error)
            await anyio.sleep(RETRY)
            return
        if commit.change.is_empty:  # confirmed in the last moment
            return
        self._due = math.inf
        log.warning("not confirmed in time, rolled back: %s", pending.what)
        self._bus.publish(RulesRolledBack(change=pending.what))
