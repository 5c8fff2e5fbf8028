"""When a certificate is replaced."""

from __future__ import annotations

from .ledger import Record

_AT = 2 / 3  # of the lifetime, as most CAs advise
_SPREAD = 1 / 30
_NOT_BEFORE = 1 / 3


def renewal_time(not_before: float, not_after: float, jitter: float) -> float:
    """At two thirds of the lifetime, up to a thirtieth of it earlier, so that certificates made
    together are not renewed together. Seconds since the epoch; `jitter` between 0 and 1."""
    lifetime = not_after - not_before
    return not_before + lifetime * (_AT - _SPREAD * jitter)


def not_at_once(renew_at: float, lifetime: float, now: float) -> float:
    """A certificate that was issued just now is kept for a third of its lifetime, whatever clocks
    and the CA's suggestion say."""
    return max(renew_at, now + lifetime * _NOT_BEFORE)


def is_due(record: Record, *, has_certificate: bool, directory: str, now: float) -> bool:
    """Whether something is to be done about a host: there is no certificate, an order is under way,
    the one in use is from another CA than the configured, or its time has come."""
    if not has_certificate or record.order is not None:
        return True
    if record.directory not in (None, directory):
        return True
    return record.renew_at is not None and now >= record.renew_at
