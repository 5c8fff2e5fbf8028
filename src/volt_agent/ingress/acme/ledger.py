"""The ledger: what was tried, and when the next try is due. Kept on disk, so that neither restarts
nor crashes make a CA be asked more often.

An attempt is entered before the CA is asked (`begun`), with the set-back that it will be if nothing
more is ever heard of it. All times are seconds since the epoch; `jitter` is between 0 and 1.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from .problem import Kind, Problem

FIRST_DELAY, LAST_DELAY = 60.0, 6 * 3600.0
# Let's Encrypt asks for a week at most.
RETRY_AFTER_MAX = 10 * 86400.0
_SPREAD = 0.25
INTERRUPTED = Problem("interrupted", "the agent ended while the certificate was ordered")


class Setback(Struct, frozen=True):
    """The last of `attempts` failures in a row."""

    attempts: int
    failed_at: float
    next_try: float
    kind: Kind
    reason: str

    def wait(self, now: float) -> float:
        """Seconds left. A clock that was set back does not make it longer than it was."""
        return max(0.0, min(self.next_try - now, self.next_try - self.failed_at))


class PendingOrder(Struct, frozen=True):
    """An order at `directory`. `url` None: it is not known whether the CA has it. `key` is the
    certificate's private key (PEM)."""

    directory: str
    key: str
    url: str | None = None


class Record(Struct, frozen=True):
    """What is kept of a host besides its certificate. `directory` is the CA that the certificate in
    use is from, `renew_at` when it is to be replaced."""

    setback: Setback | None = None
    order: PendingOrder | None = None
    directory: str | None = None
    renew_at: float | None = None


class Account(Struct, frozen=True):
    """What is kept of the account at `directory`. `uri` None: there is none yet. The set-back holds
    for every name."""

    directory: str
    uri: str | None = None
    email: str | None = None
    eab_kid: str | None = None
    setback: Setback | None = None


def after(former: Setback | None, problem: Problem, now: float, jitter: float) -> Setback:
    """The set-back that `problem` is. The delay doubles from FIRST_DELAY to LAST_DELAY, and is
    never shorter than what the CA asks for. What preflight found was no attempt, and is not
    counted."""
    attempts = former.attempts if former is not None else 0
    if problem.is_preflight:
        delay = FIRST_DELAY * (1 + _SPREAD * jitter)
    else:
        attempts += 1
        delay = delay_after(attempts, jitter)
    if problem.retry_after is not None:
        delay = max(delay, min(problem.retry_after, RETRY_AFTER_MAX))
    return Setback(attempts, now, now + delay, problem.kind, problem.reason)


def delay_after(attempts: int, jitter: float) -> float:
    """Seconds until the next try after so many failures."""
    doubled = FIRST_DELAY * 2.0 ** min(attempts - 1, 20)
    return min(doubled * (1 + _SPREAD * jitter), LAST_DELAY)


def begun(record: Record, order: PendingOrder, now: float, jitter: float) -> Record:
    """The record before the CA is asked for `order`."""
    return replace(record, order=order, setback=after(record.setback, INTERRUPTED, now, jitter))


def placed(record: Record, url: str) -> Record:
    """The CA has the order."""
    assert record.order is not None
    return replace(record, order=replace(record.order, url=url))


def failed(record: Record, before: Setback | None, problem: Problem, setback: Setback) -> Record:
    """The attempt is over. `before` is the host's set-back before it; `setback` that of the
    problem. A problem of the account is none of the host's. An order that may still become
    something is kept."""
    order = record.order
    if problem.is_final or (order is not None and order.url is None):
        order = None
    mine = setback if problem.scope == "host" else before
    return replace(record, order=order, setback=mine)
