"""A question on its way upstream: who waits for it, whom it was put to, and what is due when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .health import Upstream
from .outcome import Outcome
from .question import Question
from .reply import Relayed
from .upstream import Exchange

Deliver = Callable[[Outcome], None]

# All servers are asked within this time (seconds), however patient we would be with each.
SPREAD = 1.0
# The same server is asked again after this long at the earliest: recursive servers take up to a
# second for a name they do not know yet, and asking again does not make them faster.
ASK_AGAIN_AFTER = 1.05
# How long an answer may take to be remembered, although those who waited have been told that there
# is none: they will ask again.
LIFETIME = 3.0


class Waiter(NamedTuple):
    """Somebody who waits until `until` (monotonic)."""

    until: float
    client: str
    deliver: Deliver


class Attempt:
    """The question as it was put to one server."""

    __slots__ = ("asked_at", "edns", "exchange", "is_overdue", "upstream")

    def __init__(self, upstream: Upstream, asked_at: float) -> None:
        self.upstream = upstream
        self.asked_at = asked_at
        self.exchange: Exchange | None = None
        self.is_overdue = False
        self.edns = True  # until the server says that it does not know EDNS


class Flight:
    """One question on its way. Times are monotonic, in seconds."""

    __slots__ = (
        "_pace",
        "at_once",
        "attempts",
        "began",
        "client",
        "ends",
        "is_over",
        "is_second_round",
        "last_word",
        "next_at",
        "question",
        "servers",
        "waiting",
    )

    def __init__(
        self,
        question: Question,
        client: str,
        servers: Sequence[Upstream],
        at_once: int,
        now: float,
    ) -> None:
        self.question = question
        self.client = client  # who started it
        self.at_once = at_once  # servers that race for it
        self.began = now
        self.ends = now + LIFETIME
        self.servers = list(servers)  # still to be asked
        self.next_at = now  # when the next of them is due
        self.attempts: list[Attempt] = []  # under way
        self.waiting: list[Waiter] = []  # by `until`, as all have the same patience
        self.last_word: Relayed | None = None  # a failure that a server reported
        self.is_second_round = False
        self.is_over = False
        self._pace = SPREAD / max(len(servers), 1)

    def __repr__(self) -> str:
        state = "OVER" if self.is_over else f"{len(self.servers)} servers left"
        return f"<Flight [{len(self.waiting)} waiting, {len(self.attempts)} under way, {state}]>"

    @property
    def due(self) -> float:
        """When there is something to do next."""
        if self.is_over or not self.waiting:
            return self.ends
        return min(self.next_at if self.servers else self.ends, self.waiting[0].until, self.ends)

    def plan_next(self, now: float, patience: float) -> None:
        """A server was asked just now and has `patience`: set when it is the next one's turn.

        After the last one, those that have said nothing are asked once more.
        """
        if self.servers:
            self.next_at = now + min(patience, self._pace)
        elif not self.is_second_round:
            self.is_second_round = True
            self.servers.extend(each.upstream for each in self.attempts)
            self.next_at = max(self.began + ASK_AGAIN_AFTER, now)

    def rule_out(self, upstream: Upstream) -> None:
        """Do not ask `upstream` again: it answered, though not helpfully."""
        if upstream in self.servers:
            self.servers = [each for each in self.servers if each != upstream]

    def redirect(self, servers: Sequence[Upstream], at: float) -> None:
        """Ask `servers` from now on, the first of them at `at`."""
        self.servers = list(servers)
        self.next_at = at
        self.is_second_round = False
        self._pace = SPREAD / max(len(servers), 1)

    def is_of_interest(self, attempt: Attempt) -> bool:
        """Whether what a server says tells something although the flight is over: how much slower
        it is than another, or that it is there."""
        return attempt.is_overdue or self.at_once > 1

    def take_all(self) -> list[Waiter]:
        """Everybody who waits."""
        found, self.waiting = self.waiting, []
        return found

    def take_due(self, now: float) -> list[Waiter]:
        """Those whose patience is at its end."""
        count = bisect_right(self.waiting, now, key=lambda each: each.until)
        found, self.waiting = self.waiting[:count], self.waiting[count:]
        return found
