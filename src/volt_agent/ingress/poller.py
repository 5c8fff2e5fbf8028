"""Readiness and deadlines of the data path: a private epoll set inside the asyncio loop.

asyncio's own way to a callback costs as much as answering half a request. The epoll set is itself a
descriptor that the loop watches; a wake-up is bounded in time, so that DNS, control and everything
else on the loop wait for some milliseconds at most. What a wake-up did not get to comes first in
the next one: nobody starves behind those who always have something to say.
"""

from __future__ import annotations

import asyncio
import logging
import math
import select
import time
from collections.abc import Callable
from typing import Any, Protocol

from .pipes import Pipes

log = logging.getLogger(__name__)

IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP
# An event takes 10 to 40 us, the worst (64 KiB of tiny chunks) some milliseconds.
BATCH = 128
SLICE = 0.002  # seconds after which a wake-up leaves the rest to the next
# Seconds between two looks at the deadlines: 20,000 connections take 2 ms.
TICK = 0.5
NEVER = math.inf

# Bytes read at once. A TLS record is smaller, so nothing that is decrypted waits without an event.
PIECE = 65_536

Handler = Callable[[int], None]


class Timed(Protocol):
    """Something with a deadline (monotonic seconds, NEVER for none) that can pass."""

    deadline: float

    def expire(self) -> None: ...


class Poller:
    """See the module. Handlers are called with the event mask, and may be called for nothing.

    Handlers read into `buffer` (`view` is a view of it): what is in there lasts for one event.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(PIECE)
        self.view = memoryview(self.buffer)
        self.pipes = Pipes()
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timed: dict[Timed, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[int, int]] = []  # of the last batch, the next one at the end
        self.now = time.monotonic()  # when the current event or look at the deadlines began

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._wake)
        self._tick()

    def close(self) -> None:
        """Watch nothing any more. Descriptors stay open."""
        if self._timer is not None:
            self._timer.cancel()
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self.pipes.close()
        self._handlers.clear()
        self._timed.clear()
        self._waiting.clear()

    def soon(self, call: Callable[[], None]) -> None:
        """Call in another turn of the loop."""
        self._loop.call_soon(call)

    def add(self, fd: int, mask: int, handler: Handler) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask)

    def hand_over(self, fd: int, handler: Handler) -> None:
        """Have another handler called for `fd`."""
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """As `remove`, for a descriptor that is closed now: that takes it out of the set, too."""
        self._handlers.pop(fd, None)

    def remove(self, fd: int) -> None:
        """Watch it no more."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watch(self, timed: Timed) -> None:
        """Call `expire` once when the deadline of `timed` has passed; it may be moved any time."""
        self._timed[timed] = None

    def unwatch(self, timed: Timed) -> None:
        self._timed.pop(timed, None)

    def _wake(self) -> None:
        handlers, monotonic = self._handlers, time.monotonic
        waiting = self._waiting
        if not waiting:
            waiting = self._waiting = self._epoll.poll(0, BATCH)
            waiting.reverse()
        now = monotonic()
        end = now + SLICE
        while waiting and now < end:
            self.now = now
            fd, mask = waiting.pop()
            handler = handlers.get(fd)
            if handler is not None:
                try:
                    handler(mask)
                except Exception:
                    self._failed(getattr(handler, "__self__", None))
            if not waiting:
                break
            now = monotonic()

    def _tick(self) -> None:
        self.now = now = time.monotonic()
        for each in [each for each in self._timed if each.deadline <= now]:
            each.deadline = NEVER
            try:
                each.expire()
            except Exception:
                self._failed(each)
        self._timer = self._loop.call_later(TICK, self._tick)

    @staticmethod
    def _failed(owner: Any) -> None:
        """A mistake of ours costs this connection, not the others."""
        log.exception("the ingress failed on a connection")
        try:
            owner.close()
        except Exception:
            log.exception("and could not close it")
