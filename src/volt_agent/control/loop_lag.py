"""How late the event loop runs what is due: the measure of whether anything blocks the agent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

# A tick costs about 30 us: at this pace less than a thousandth of a core.
INTERVAL = 0.05
WINDOW = 60.0


def lags_of(late: float, interval: float) -> list[float]:
    """The lags (seconds) that a tick stands for that came `late`.

    A stall that outlasts the interval also held up the ticks that should have come meanwhile.
    Counting only the one that came at last would make long stalls look rare.
    """
    late = max(late, 0.0)
    return [late - place * interval for place in range(int(late / interval) + 1)]


class LoopLag:
    """Ticks on the running loop; keeps the last minute and tells `observe` of every lag."""

    def __init__(
        self,
        observe: Callable[[float], None] = lambda lag: None,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._interval = interval
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=int(WINDOW / interval))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock() + self._interval
            await asyncio.sleep(self._interval)
            for lag in lags_of(self._clock() - due, self._interval):
                self._lags.append(lag)
                self._observe(lag)

    def percentile(self, share: float) -> float:
        """The lag (seconds) that `share` of the last minute's ticks did not exceed; 0 for none."""
        ordered = sorted(self._lags)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    def __repr__(self) -> str:
        return f"<LoopLag [p99 {self.percentile(0.99) * 1e3:.1f} ms of {len(self._lags)} ticks]>"
