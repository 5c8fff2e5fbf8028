"""What the data path counts. Plain integers, read by whoever shows them (`figures`).

Counting a request takes half a microsecond: no lock, no clock but the one it needs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Literal

# Why a connection or what came over it was not served.
Refusal = Literal["full", "per_client", "head", "body", "slow", "handshake", "unknown_name"]
REFUSALS: tuple[Refusal, ...] = (
    "full",
    "per_client",
    "head",
    "body",
    "slow",
    "handshake",
    "unknown_name",
)

# Seconds that figures "of the last minute" go back: to between one and two periods.
PERIOD = 60.0
# The buckets of a histogram: four for each doubling of the time, from 8 us to 134 s.
_FIRST_OCTAVE, _LAST_OCTAVE = 4, 27
_BUCKETS = ((_LAST_OCTAVE - _FIRST_OCTAVE) + 1) << 2
# Upper bounds in seconds, exclusive.
BOUNDS = tuple(
    ((5 + (index & 3)) << ((index >> 2) + _FIRST_OCTAVE - 3)) / 1e6 for index in range(_BUCKETS)
)
_BORDERS = BOUNDS[:-1]  # whatever took longer is in the last bucket

Histogram = list[int]


class Traffic:
    """The requests of one route.

    `classes[4]` are the answers 400 to 499. `received` and `sent` are bytes, `seconds` the time
    from the head of a request to the end of its answer, summed. Of the histograms, `recent` is of
    the period that ends at `until` (monotonic seconds), `former` of the one before, `older` of all
    time before that.
    """

    __slots__ = ("classes", "former", "older", "received", "recent", "seconds", "sent", "until")

    def __init__(self, now: float) -> None:
        self.classes = [0] * 10
        self.received = self.sent = 0
        self.seconds = 0.0
        self.until = now + PERIOD
        self.recent: Histogram = [0] * _BUCKETS
        self.former: Histogram | None = None
        self.older: Histogram | None = None

    def count(self, status: int, started: float, now: float, received: int, sent: int) -> None:
        """One finished request; `status` is 0 to 999, times are monotonic seconds."""
        if now >= self.until:
            self.turn(now)
        self.classes[status // 100] += 1
        if received:
            self.received += received
        self.sent += sent
        seconds = now - started
        self.seconds += seconds
        self.recent[bisect_right(_BORDERS, seconds)] += 1

    def turn(self, now: float) -> None:
        """Begin a new period if the current one is over."""
        if now < self.until:
            return
        periods = 1 + int((now - self.until) / PERIOD)
        if self.former is not None:
            self.older = _sum(self.older, self.former)
        self.former, self.recent = self.recent, [0] * _BUCKETS
        if periods > 1:
            self.older, self.former = _sum(self.older, self.former), None
        self.until += periods * PERIOD

    @property
    def requests(self) -> int:
        return sum(self.classes)

    @property
    def errors(self) -> int:
        """Answers 500 to 599, whoever gave them."""
        return self.classes[5]

    def latest(self, now: float) -> Histogram:
        """The requests of the last one to two periods."""
        self.turn(now)
        return _sum(self.former, self.recent)

    def whole(self) -> Histogram:
        """All requests."""
        return _sum(self.older, _sum(self.former, self.recent))

    def rate(self, now: float) -> float:
        """Requests per second over the last period, taking the former one for even."""
        self.turn(now)
        left = (self.until - now) / PERIOD
        return (sum(self.recent) + left * sum(self.former or ())) / PERIOD

    def __repr__(self) -> str:
        return f"<Traffic [{self.requests} requests, {self.errors} errors]>"


class Counters:
    """Of the ingress as a whole, since its start. `unrouted` are requests without a route:
    refusals, redirects, challenges."""

    __slots__ = ("refused", "requests", "started", "unrouted")

    def __init__(self, now: float) -> None:
        self.started = now
        self.requests = 0
        self.refused: dict[Refusal, int] = dict.fromkeys(REFUSALS, 0)
        self.unrouted = Traffic(now)

    def note_refusal(self, reason: Refusal) -> None:
        self.refused[reason] += 1


def quantile(histogram: Histogram, part: float) -> float | None:
    """The seconds that `part` of the requests took at most, to within an eighth; None without
    requests."""
    seen = list(accumulate(histogram))
    return BOUNDS[bisect_left(seen, part * seen[-1])] if seen[-1] else None


def _sum(one: Histogram | None, other: Histogram) -> Histogram:
    return list(other) if one is None else [a + b for a, b in zip(one, other, strict=True)]
