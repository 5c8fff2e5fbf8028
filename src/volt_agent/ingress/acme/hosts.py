"""What the manager knows of a host at the moment, and how that looks from outside."""

from __future__ import annotations

import asyncio

import anyio
from msgspec.structs import replace

from . import renewal
from .ledger import Account, Record, Setback
from .order import Phase
from .state import HostCertificate
from .storage import Stored


class HostEntry:
    """A host whose certificate is looked after. `ready_at` is when its back-off ends and `ask_at`
    when the CA is asked again when to renew: seconds of the monotonic clock, so that a changed
    wall clock moves neither. `is_asked`: somebody wants another certificate; `is_forced`: at once.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.record = Record()
        self.stored: Stored | None = None
        self.warnings: tuple[str, ...] = ()
        self.phase: Phase | None = None  # of the order under way
        self.is_loaded = self.is_ordering = self.is_asked = self.is_forced = False
        self.ready_at = self.ask_at = 0.0
        self.wake = asyncio.Event()
        self.scope: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<HostEntry {self.host} [{self.phase or 'at rest'}, {self.stored}]>"

    def is_due(self, directory: str, now: float) -> bool:
        """Whether a certificate is to be ordered, back-off aside."""
        return self.is_asked or renewal.is_due(
            self.record, has_certificate=self.stored is not None, directory=directory, now=now
        )

    def seconds_left(
        self, account_ready_at: float, directory: str, now: float, ticks: float
    ) -> float:
        """Until an order may begin; `now` by the wall clock, `ticks` by the monotonic one."""
        if self.is_forced:
            return 0.0
        renew_at = self.record.renew_at
        due = 0.0 if self.is_due(directory, now) or renew_at is None else renew_at - now
        return max(due, self.ready_at - ticks, account_ready_at - ticks, 0.0)


def state_of(entry: HostEntry, account: Account, directory: str, now: float) -> HostCertificate:
    """How it is with a host, for lists."""
    stored, is_due = entry.stored, entry.is_due(directory, now)
    setback = None if entry.is_ordering else _setback(entry, account, is_due=is_due)
    is_well = stored is not None and not is_due and not entry.is_ordering
    known = HostCertificate(
        host=entry.host,
        state="valid" if is_well else "issuing",
        not_after=None if stored is None else stored.not_after,
        renew_at=None if stored is None else entry.record.renew_at,
        attempts=0 if entry.record.setback is None else entry.record.setback.attempts,
        warnings=entry.warnings,
        issuer=None if stored is None else stored.certificate.issuer,
        serial=None if stored is None else stored.serial,
    )
    if setback is None:
        return known
    next_try = setback.next_try if is_due else max(setback.next_try, entry.record.renew_at or 0.0)
    return replace(known, state="failed", reason=setback.reason, next_try=next_try)


def _setback(entry: HostEntry, account: Account, *, is_due: bool) -> Setback | None:
    """What holds the host back: its own set-back, or the account's if something is due."""
    mine = entry.record.setback
    if not is_due:
        return mine
    both = [each for each in (mine, account.setback) if each is not None]
    return max(both, key=lambda each: each.next_try, default=None)
