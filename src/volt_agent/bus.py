"""The in-memory event bus: who observes says so here, who cares listens here.

Handlers are plain functions called in the order in which they subscribed, on the loop, before
`publish` returns; they must not block. Whoever needs to wait takes a `Feed`, a bounded queue: a
slow reader loses the oldest events and is told how many, so that it can never hold up the agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from .events import Event

log = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)

# A second of the busiest burst measured (2,000 links made and deleted), with room.
FEED_LIMIT = 8192


class Bus:
    """Delivers events to handlers by type (subclasses included) and to feeds."""

    def __init__(self) -> None:
        self._handlers: list[tuple[type[Event], Callable[[Event], None]]] = []
        self._feeds: set[Feed] = set()

    def subscribe(self, kind: type[E], handler: Callable[[E], None]) -> None:
        """Call `handler` for every event of `kind` from now on."""
        self._handlers.append((kind, handler))  # type: ignore[arg-type]

    def publish(self, event: Event) -> None:
        """Hand `event` to everybody. A handler that raises is logged and does not stop the rest."""
        for kind, handler in self._handlers:
            if isinstance(event, kind):
                try:
                    handler(event)
                except Exception:
                    log.exception("handler of %s failed", type(event).__name__)
        for feed in self._feeds:
            feed.put(event)

    def feed(self, *kinds: type[Event]) -> Feed:
        """A queue of the events of `kinds` from now on; close it when done."""
        feed = Feed(self._feeds, kinds)
        self._feeds.add(feed)
        return feed


class Feed:
    """One reader's bounded queue of events. `lost` counts what it was too slow for."""

    def __init__(self, registered: set[Feed], kinds: tuple[type[Event], ...]) -> None:
        self._registered = registered
        self._kinds = kinds
        self._queue: deque[Event] = deque(maxlen=FEED_LIMIT)
        self._wake = asyncio.Event()
        self.lost = 0

    def put(self, event: Event) -> None:
        if not isinstance(event, self._kinds):
            return
        if len(self._queue) == FEED_LIMIT:
            self.lost += 1
        self._queue.append(event)
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        self._registered.discard(self)
