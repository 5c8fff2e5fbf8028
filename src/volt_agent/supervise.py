"""Runs the agent's tasks: each has a name, and one that crashes is logged and started again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

log = logging.getLogger(__name__)

FIRST_DELAY, LAST_DELAY = 0.1, 30.0  # seconds; doubled after each crash


def start(group: TaskGroup, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in `group` for as long as the group lives.

    The data path does not depend on any task, so a crash is no reason to end the agent: the next
    pass of the reconciler starts from what is there.
    """
    group.start_soon(_keep_running, name, work, name=name)


class Shift:
    """Tasks that rest together and go on together, each as `start` runs it."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._works: dict[str, Callable[[], Awaitable[None]]] = {}
        self._running: dict[str, anyio.CancelScope] = {}
        self._is_resting = False
        self._changed = anyio.Event()

    def __repr__(self) -> str:
        return f"<Shift [{'resting' if self._is_resting else ', '.join(self._running)}]>"

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, now and again after each rest, until it returns by itself."""
        self._works[name] = work
        if not self._is_resting:
            self._begin(name)

    async def rest(self) -> None:
        """Cancel all of them; returns once they have ended."""
        self._is_resting = True
        for scope in self._running.values():
            scope.cancel()
        while self._running:
            self._changed = anyio.Event()
            await self._changed.wait()

    def go_on(self) -> None:
        self._is_resting = False
        for name in self._works:
            self._begin(name)

    def _begin(self, name: str) -> None:
        self._running[name] = scope = anyio.CancelScope()
        self._group.start_soon(self._work, name, scope, name=name)

    async def _work(self, name: str, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await _keep_running(name, self._works[name])
                del self._works[name]
        finally:
            del self._running[name]
            self._changed.set()


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    delay = FIRST_DELAY
    while True:
        try:
            await work()
        except Exception:
            log.exception("task %s crashed", name, extra={"fields": {"restart_s": delay}})
        else:
            return
        await anyio.sleep(delay)
        delay = min(delay * 2, LAST_DELAY)
