"""Threads for calls that block on a CA or on the disk.

A thread for each call, which costs 0.1 ms: unlike those of a pool, it does not keep the agent from
ending while a CA does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# More would not be faster, they share one interpreter, and the loop would have to wait for them.
AT_ONCE = 4


class Workers:
    """Runs up to `at_once` calls at the same time; the others wait for their turn."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._turn = asyncio.Semaphore(at_once)

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """What `call(*arguments)` returns or raises. If nobody waits any more, it is left alone."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[T] = loop.create_future()

            def work() -> None:
                try:
                    tell(future.set_result, call(*arguments))
                except BaseException as error:
                    tell(future.set_exception, error)

            def tell(outcome: Callable[[Any], None], value: object) -> None:
                with contextlib.suppress(RuntimeError):  # the loop is over
                    loop.call_soon_threadsafe(_settle, future, outcome, value)

            name = getattr(call, "__name__", "work")
            threading.Thread(target=work, name=f"volt-acme-{name}", daemon=True).start()
            return await future


def _settle(future: asyncio.Future[Any], outcome: Callable[[Any], None], value: object) -> None:
    if not future.done():
        outcome(value)
