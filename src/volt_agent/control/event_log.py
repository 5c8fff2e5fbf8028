"""The last outcomes, ready to be sent: what `volt events` shows.

One ring holds everything; each reader only has a place in it. A reader that is too slow loses the
oldest events and is told how many, and no number of readers costs memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct, json, to_builtins

from ..bus import Bus
from ..events import OUTCOMES, Event

# A busy host starts and stops a few hundred workloads in a morning; 1,000 lines are about 250 kB.
RING_SIZE = 1000


class EventQuery(Struct, frozen=True):
    """What a reader wants: the last `recent` events, then, if `follow`, all that come."""

    recent: Annotated[int, Meta(ge=0)] = 0
    follow: bool = True


def wall_clock() -> datetime:
    return datetime.now(UTC)


def encode_event(event: Event, time: datetime) -> bytes:
    """One event as a JSON object: `event` (its name), `time` (RFC 3339, UTC), then its fields."""
    return json.encode({"event": event.name, "time": time, **to_builtins(event)})


def encode_lost(count: int) -> bytes:
    """What a reader is told in place of `count` events that it was too slow for."""
    return json.encode({"event": "lost", "count": count})


class EventLog:
    """The last `size` outcomes published on `bus`, each stamped with `clock` and encoded once."""

    def __init__(
        self,
        bus: Bus,
        *,
        clock: Callable[[], datetime] = wall_clock,
        size: int = RING_SIZE,
        kinds: Sequence[type[Event]] = OUTCOMES,
    ) -> None:
        self._clock = clock
        self._ring: deque[bytes] = deque(maxlen=size)
        self._total = 0
        self._news = asyncio.Event()
        for kind in kinds:
            bus.subscribe(kind, self._record)

    def _record(self, event: Event) -> None:
        self._ring.append(encode_event(event, self._clock()))
        self._total += 1
        # Everybody who waits now is woken; who comes later waits for the next one.
        self._news.set()
        self._news = asyncio.Event()

    def recent(self, count: int) -> list[bytes]:
        """The last `count` events, encoded, oldest first; fewer where there are fewer."""
        return self._since(self._total - min(count, len(self._ring)))

    async def follow(self, recent: int) -> AsyncIterator[list[bytes]]:
        """Batches of encoded events, oldest first: the last `recent`, then all that come."""
        place = self._total - min(recent, len(self._ring))
        while True:
            if place == self._total:
                await self._news.wait()
            batch = self._since(place)
            place = self._total
            yield batch

    def _since(self, place: int) -> list[bytes]:
        """Everything after the first `place` events, with a note where some are gone already."""
        oldest = self._total - len(self._ring)
        if place < oldest:
            return [encode_lost(oldest - place), *self._ring]
        return list(self._ring)[place - oldest :]

    def __repr__(self) -> str:
        return f"<EventLog [{len(self._ring)} of {self._total} events]>"
