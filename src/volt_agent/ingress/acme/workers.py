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

from .problem import OrderFailed, Problem

T = TypeVar("T")

# Seconds for an answer of a CA as a whole: its own time-out is for each piece of it, and whoever
# sends a byte now and then would keep a turn, of which there are few, for good.
ASK_WITHIN = 120.0
_SLOW = Problem("directory", f"the CA takes more than {ASK_WITHIN:.0f} s to answer", "account")
# Calls at the same time. They share one interpreter with the loop: with four and two, twenty
# renewals took as long, and the loop was held up twice as much (p99).
CA_CALLS, DISK_CALLS = 2, 1


class Workers:
    """`ask` a CA, or use the `disk`: what a call returns or raises. Calls beyond the limit wait for
    their turn, those for the disk never for a CA. If nobody waits any more, a call is left alone.
    One to a CA that takes more than `ask_within` seconds raises OrderFailed.
    """

    def __init__(self, ask_within: float = ASK_WITHIN) -> None:
        self._ask_within = ask_within
        self._ca, self._disk = asyncio.Semaphore(CA_CALLS), asyncio.Semaphore(DISK_CALLS)

    async def ask(self, call: Callable[..., T], *arguments: Any) -> T:
        async with self._ca:
            late = asyncio.timeout(self._ask_within)
            try:
                async with late:
                    return await _in_thread(call, *arguments)
            except TimeoutError:
                if not late.expired():
                    raise
                raise OrderFailed(_SLOW) from None

    async def disk(self, call: Callable[..., T], *arguments: Any) -> T:
        async with self._disk:
            return await _in_thread(call, *arguments)


async def _in_thread(call: Callable[..., T], *arguments: Any) -> T:
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
