"""What is known of each upstream server: how fast it is, and whether it answers at all.

All servers are taken to know the same names. The one that answers soonest is asked first; of those
that are about as fast, the one that is configured first. Every now and then a question goes to a
second server at the same time: that is how the others are measured, and how one that was silent is
found to be back, at the expense of nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

Upstream = tuple[str, int]

# RFC 6298's estimator, in seconds. A server that was never heard gets FIRST_PATIENCE before the
# next one is asked as well: longer than nearly all round trips to public servers.
FIRST_PATIENCE = 0.3
PATIENCE_MIN, PATIENCE_MAX = 0.1, 0.5
# Questions without an answer, one after the other, that make a server count as silent.
SILENT_AFTER = 3
# How often each server but the first gets a question that it races for (seconds).
RACE_EVERY = 10.0


class Health:
    """One server. Times are on the monotonic clock, in seconds."""

    def __init__(self, upstream: Upstream, rank: int) -> None:
        self.upstream = upstream
        self.rank = rank  # its place in the configuration
        self.round_trip: float | None = None
        self.unanswered = 0
        self.asked = self.answered = 0
        self.seconds = 0.0  # of waiting for answers, in all
        self._deviation = 0.0
        self._asked_at = self._answered_at = float("-inf")

    def __repr__(self) -> str:
        state = "SILENT" if self.is_silent else "UP" if self.answered else "UNKNOWN"
        shown = "" if self.round_trip is None else f", {self.round_trip * 1e3:.0f} ms"
        return f"<Health of {name_of(self.upstream)} [{state}{shown}]>"

    @property
    def is_silent(self) -> bool:
        return self.unanswered >= SILENT_AFTER

    @property
    def patience(self) -> float:
        """How long to wait for it before another server is asked as well."""
        if self.round_trip is None:
            return FIRST_PATIENCE
        return min(max(self.round_trip + 4 * self._deviation, PATIENCE_MIN), PATIENCE_MAX)

    @property
    def preference(self) -> tuple[bool, int, int, int]:
        """Lower is asked first: heard, heard lately, fast (by powers of two), configured first."""
        round_trip = FIRST_PATIENCE if self.round_trip is None else self.round_trip
        slowness = int(round_trip * 100).bit_length()
        return self.is_silent, self.unanswered, slowness, self.rank

    def may_race(self, now: float) -> bool:
        return now - self._asked_at >= RACE_EVERY

    def note_question(self, now: float) -> None:
        self.asked += 1
        self._asked_at = now

    def note_answer(self, now: float, waited: float) -> bool:
        """An answer after `waited` seconds; returns whether the server is back from silence."""
        is_back = self.is_silent
        self.unanswered = 0
        self.answered += 1
        self.seconds += waited
        self._answered_at = now
        if self.round_trip is None:
            self.round_trip, self._deviation = waited, waited / 2
        else:
            self._deviation += (abs(self.round_trip - waited) - self._deviation) / 4
            self.round_trip += (waited - self.round_trip) / 8
        return is_back

    def note_silence(self, asked_at: float) -> bool:
        """No answer to what was asked then; returns whether that makes the server silent.

        One that has answered something else since is there: only this name is slow.
        """
        if self._answered_at > asked_at:
            return False
        self.unanswered += 1
        return self.unanswered == SILENT_AFTER

    def note_failure(self) -> bool:
        """It cannot be reached, or talks nonsense; returns whether that makes it silent."""
        was_silent = self.is_silent
        self.unanswered = max(self.unanswered + 1, SILENT_AFTER)
        return not was_silent


class Roster:
    """The servers that may be asked."""

    def __init__(self, upstreams: Sequence[Upstream] = ()) -> None:
        self._healths: dict[Upstream, Health] = {}
        self.replace(upstreams)

    def __repr__(self) -> str:
        return f"<Roster {list(self._healths.values())}>"

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._healths

    def __len__(self) -> int:
        return len(self._healths)

    def __getitem__(self, upstream: Upstream) -> Health:
        return self._healths[upstream]

    def find(self, upstream: Upstream) -> Health | None:
        """What is known of `upstream`, if it may be asked."""
        return self._healths.get(upstream)

    @property
    def healths(self) -> tuple[Health, ...]:
        return tuple(self._healths.values())

    def replace(self, upstreams: Sequence[Upstream]) -> None:
        """Ask these from now on. What is known of those that stay is kept."""
        known = self._healths
        self._healths = {}
        for rank, each in enumerate(upstreams):
            health = self._healths[each] = known.get(each) or Health(each, rank)
            health.rank = rank

    def order(self, now: float) -> tuple[list[Upstream], int]:
        """Whom to ask, in which order, and how many of them at once (one, or two that race)."""
        if len(self._healths) == 1:
            return list(self._healths), 1
        ordered = sorted(self._healths.values(), key=lambda each: each.preference)
        due = next((each for each in ordered[1:] if each.may_race(now)), None)
        if due is None:
            return [each.upstream for each in ordered], 1
        ordered.remove(due)
        ordered.insert(1, due)
        return [each.upstream for each in ordered], 2


def name_of(upstream: Upstream) -> str:
    """`1.1.1.1:53`, `[2606:4700::1111]:53`."""
    host, port = upstream
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
