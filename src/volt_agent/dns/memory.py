"""What upstream servers said, and which questions they had no answer to. Both are bounded."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from .outcome import CACHED, NO_ANSWER, Outcome
from .question import Question
from .reply import Relayed

# Octets of replies that are remembered. A usual one takes about 900: its records twice, and the
# objects around them.
MEMORY_MAX = 16 * 1024 * 1024
_OVERHEAD = 700
# The longest records worth remembering (octets).
_BODY_MAX = 4096
# RFC 8767, section 5: for how long after its time a reply is better than none (seconds).
STALE_FOR = 86_400.0
# RFC 9520, section 3.2: failures are remembered for at least a second, longer each time, at most
# five minutes. Half a minute is what RFC 8767 has between two tries while there is a stale answer.
FAILURE_MIN, FAILURE_MAX = 1.0, 30.0
FAILURES_MAX = 4096


class Memory:
    """Replies by question; those that nobody asked for longest go first."""

    def __init__(self, limit: int = MEMORY_MAX) -> None:
        self._limit = limit
        self._replies: OrderedDict[Question, Relayed] = OrderedDict()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._replies)

    def __repr__(self) -> str:
        return f"<Memory [{len(self)} replies, {self._octets} of {self._limit} octets]>"

    def find(self, question: Question, now: float) -> Relayed | None:
        """What was said, whether it is still alive or not (unless it is past all use)."""
        relayed = self._replies.get(question)
        if relayed is None:
            return None
        if now - relayed.arrived > relayed.life + STALE_FOR:
            self.drop(question)
            return None
        self._replies.move_to_end(question)
        return relayed

    def keep(self, question: Question, relayed: Relayed) -> None:
        """Remember `relayed`, if it may be; whatever was remembered before is outdated."""
        self.drop(question)
        if not relayed.life or len(relayed.body) > _BODY_MAX:
            return
        self._replies[question] = relayed
        self._octets += _cost(question, relayed)
        while self._octets > self._limit:
            self.drop(next(iter(self._replies)))

    def drop(self, question: Question) -> None:
        relayed = self._replies.pop(question, None)
        if relayed is not None:
            self._octets -= _cost(question, relayed)

    def clear(self) -> int:
        """Forget everything; returns how many replies that were."""
        count, self._octets = len(self._replies), 0
        self._replies.clear()
        return count


def _cost(question: Question, relayed: Relayed) -> int:
    return _OVERHEAD + len(question.name) + 2 * len(relayed.body)


class KnownFailure(Struct, frozen=True):
    """A question without an answer: `outcome` is told until `until`, without asking again."""

    until: float
    span: float
    outcome: Outcome


class Failures:
    """Questions that could not be answered a moment ago (RFC 9520)."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Question, KnownFailure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def find(self, question: Question, now: float) -> Outcome | None:
        """What to tell instead of asking again."""
        failure = self._failures.get(question)
        return failure.outcome if failure is not None and now < failure.until else None

    def note(self, question: Question, outcome: Outcome, now: float) -> None:
        """One more failure of `question`: it rests twice as long as the last time, up to a bound.

        Once it has gone without one for as long as it rested, it starts afresh.
        """
        last = self._failures.pop(question, None)
        span = FAILURE_MIN
        if last is not None and now < last.until + 2 * last.span + FAILURE_MIN:
            span = min(2 * last.span, FAILURE_MAX)
        told = CACHED if outcome is NO_ANSWER else outcome
        self._failures[question] = KnownFailure(now + span, span, told)
        if len(self._failures) > FAILURES_MAX:
            self._failures.popitem(last=False)

    def drop(self, question: Question) -> None:
        self._failures.pop(question, None)

    def clear(self) -> None:
        self._failures.clear()
