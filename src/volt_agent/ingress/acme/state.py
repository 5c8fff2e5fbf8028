"""How it is with the certificate of a host, as one value, and the words that lists show for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

State = Literal["issuing", "valid", "failed"]

_DAY = 86400.0


class HostCertificate(Struct, frozen=True):
    """What is known of the automatic certificate of `host`. All times are seconds since the epoch.

    `issuing`: an order is under way or waits for its turn. `valid`: a certificate is in use and
    nothing is wrong. `failed`: the last try failed for `reason`; the next one is at `next_try`.

    `not_after` is None while there is no certificate. A renewal that failed has both: the old
    certificate keeps serving. `renew_at` is when it is to be replaced. `attempts` failed one after
    the other. `warnings` are what the last preflight found that need not stop an order. `issuer` is
    a distinguished name (RFC 4514), `serial` hexadecimal.
    """

    host: str
    state: State
    not_after: float | None = None
    renew_at: float | None = None
    reason: str | None = None
    next_try: float | None = None
    attempts: int = 0
    warnings: tuple[str, ...] = ()
    issuer: str | None = None
    serial: str | None = None

    def has_expired(self, now: float) -> bool:
        """Whether there is a certificate, and its time is over."""
        return self.not_after is not None and self.not_after <= now


def words(certificate: HostCertificate, now: float) -> str:
    """`issuing`, `valid until 2026-12-01`, or `failed: REASON, next try HH:MM`; a renewal that
    failed says both, what serves first. `now` is seconds since the epoch."""
    if certificate.state == "failed":
        failure = f"failed: {certificate.reason or 'unknown'}{_next_try(certificate, now)}"
        if certificate.not_after is None:
            return failure
        return f"{_validity(certificate.not_after, now)}; renewal {failure}"
    if certificate.not_after is None:
        return "issuing"
    return _validity(certificate.not_after, now)


def _validity(not_after: float, now: float) -> str:
    word = "expired on" if not_after <= now else "valid until"
    return f"{word} {datetime.fromtimestamp(not_after, UTC):%Y-%m-%d}"


def _next_try(certificate: HostCertificate, now: float) -> str:
    """In the time zone of the host, with the date where the hour alone would mislead."""
    if certificate.next_try is None:
        return ""
    form = "%H:%M" if certificate.next_try - now < _DAY else "%Y-%m-%d %H:%M"
    return f", next try {datetime.fromtimestamp(certificate.next_try).astimezone():{form}}"
