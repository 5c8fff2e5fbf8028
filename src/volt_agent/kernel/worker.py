"""A thread that does one thing after the other, so that the loop never waits for the kernel."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from .namespaces import StrandedError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Worker:
    """Runs calls in order in one thread, which is in the network namespace of the loop's thread.

    A call whose caller is cancelled is carried out nevertheless. A call that leaves the thread in a
    foreign namespace (StrandedError) ends the thread; the loop, which is where it belongs, starts
    another one for the calls behind it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._calls.qsize()} waiting"
        return f"<Worker {self._name} [{state}]>"

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises. Raises RuntimeError once closed."""
        return await self.begin(call)

    def begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """The same at once: `call` is carried out whether anybody waits for it or not."""
        if self._closed:
            raise RuntimeError(f"{self!r} takes no more calls")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put(_Call(call, future, self._start))
        if self._thread is None:
            self._start()
        return future

    async def close(self) -> None:
        """Let the thread end what it was asked, and wait for that."""
        self._closed = True
        if self._thread is None:
            return
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls.put(_Call(lambda: None, ended, self._start))
        self._calls.put(None)
        await ended

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call.carry_out()
            except StrandedError:
                log.critical("thread %s ends: it is stuck in a foreign namespace", self._name)
                call.on_loop(call.restart)
                return


class _Call:
    def __init__(
        self, call: Callable[[], Any], future: asyncio.Future[Any], restart: Callable[[], None]
    ) -> None:
        self._call, self._future, self.restart = call, future, restart

    def carry_out(self) -> None:
        try:
            result = self._call()
        except BaseException as error:
            self.on_loop(self._settle, self._future.set_exception, error)
            if isinstance(error, StrandedError):
                raise
        else:
            self.on_loop(self._settle, self._future.set_result, result)

    def on_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._future.get_loop().call_soon_threadsafe(call, *arguments)

    def _settle(self, settle: Callable[[Any], None], outcome: Any) -> None:
        if not self._future.cancelled():
            settle(outcome)
