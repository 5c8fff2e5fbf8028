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
