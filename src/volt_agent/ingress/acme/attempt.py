"""Attempts: from a host for which something is due to a certificate in use, or to a set-back.

Preflight, the account, the order, the certificate; `issue` goes through the order itself. Whatever
goes wrong is entered in the ledger: nothing but a cancellation comes out of `run`.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...errors import Refused
from ...events import (
    CertificateChallenged,
    CertificateFailed,
    CertificateIssued,
    CertificateOrdered,
    CertificateRenewed,
    Event,
)
from ..certificate import Files
from . import ledger, preflight, renewal
from .account import Desk
from .hosts import HostEntry
from .issue import Course
from .ledger import PendingOrder, Record, Setback
from .order import Phase
from .outlook import Outlook
from .problem import OrderFailed, Problem
from .storage import Storage, Stored
from .workers import Workers

if TYPE_CHECKING:
    from .conversation import Challenge, Conversation

log = logging.getLogger(__name__)

_ASK_AGAIN_MIN = 60.0


class Attempts:
    """`install(host, files)` makes a certificate be shown to new connections."""

    def __init__(
        self,
        desk: Desk,
        storage: Storage,
        workers: Workers,
        outlook: Outlook,
        publish: Callable[[Event], None],
        install: Callable[[str, Files], None],
        clock: Callable[[], float],
    ) -> None:
        self._desk, self._storage, self._workers = desk, storage, workers
        self._outlook, self._publish, self._install = outlook, publish, install
        self._clock = clock
        self._answers: dict[tuple[bytes, bytes], bytes] = {}

    def answer(self, host: bytes, token: bytes) -> bytes | None:
        """What a CA is told that asks `host` for `token`."""
        return self._answers.get((host, token))

    async def run(self, entry: HostEntry) -> None:
        """One attempt."""
        before = entry.record.setback
        entry.is_ordering, entry.is_forced, entry.phase = True, False, "new"
        try:
            await self._get(entry)
        except OrderFailed as error:
            await self._fail(entry, before, error.problem)
        except OSError as error:
            reason = f"{error.filename or 'the disk'}: {error.strerror or error}"
            await self._fail(entry, before, Problem("storage", reason))
        except Exception:
            log.exception("the certificate of %s", entry.host)
            await self._fail(entry, before, Problem("internal", "a fault of volt: see its log"))
        finally:
            entry.is_ordering, entry.phase = False, None
            self._withdraw(entry.host)

    async def ask_when_to_renew(self, entry: HostEntry, conversation: Conversation) -> float | None:
        """When the CA suggests to renew, None if it does not. It says when to ask again."""
        assert entry.stored is not None
        pem = entry.stored.certificate.pem
        try:
            renew_at, ask_at = await self._workers.ask(conversation.suggested_renewal, pem)
        except OrderFailed as error:
            log.debug("the CA does not say when to renew: %s", error)
            return None
        entry.ask_at = time.monotonic() + max(_ASK_AGAIN_MIN, ask_at - self._clock())
        return renew_at

    # ---- the way of an order --------------------------------------------------------------------

    async def _get(self, entry: HostEntry) -> None:
        order = entry.record.order
        if order is None or order.url is None or order.directory != self._desk.settings.url:
            conversation, order = await self._order(entry)
        else:
            conversation, _terms = await self._desk.open()
        assert order.url is not None
        course = Course(
            entry.host,
            order.key,
            conversation,
            self._workers,
            lambda challenge: self._offer(entry.host, challenge),
            lambda phase: self._enter(entry, phase),
        )
        try:
            chain = await course.run(order.url)
            await self._take(entry, order, chain, conversation)
        finally:
            conversation.close()

    async def _order(self, entry: HostEntry) -> tuple[Conversation, PendingOrder]:
        """Look whether an order makes sense, enter it in the ledger, and place it."""
        directory = self._desk.settings.url
        names = await self._look_ahead(entry)
        conversation, terms = await self._desk.open()
        problem = preflight.check_caa(names, terms.caa_identities, self._desk.account.uri or "")
        if problem is not None:
            conversation.close()
            raise OrderFailed(problem)
        key = await self._workers.ask(_new_key)
        order = PendingOrder(directory, key.decode())
        await self._keep(entry, ledger.begun(entry.record, order, self._clock(), random.random()))
        conversation, url = await self._place(entry.host, conversation)
        await self._keep(entry, ledger.placed(entry.record, url))
        attempts = entry.record.setback.attempts if entry.record.setback is not None else 1
        self._publish(CertificateOrdered(host=entry.host, attempt=attempts))
        return conversation, PendingOrder(directory, order.key, url)

    async def _place(self, host: str, conversation: Conversation) -> tuple[Conversation, str]:
        """Place the order. A CA that has forgotten the account is shown its key again."""
        try:
            return conversation, await self._workers.ask(conversation.place, host)
        except OrderFailed as error:
            conversation.close()
            if error.problem.kind != "account":
                raise
        self._desk.forget()
        conversation, _terms = await self._desk.open()
        return conversation, await self._workers.ask(conversation.place, host)

    async def _look_ahead(self, entry: HostEntry) -> preflight.Names:
        await self._outlook.settled()
        names = await self._outlook.names(entry.host)
        own = self._outlook.own(names.addresses or ())
        door = self._outlook.door(own)
        entry.warnings = preflight.warnings(entry.host, door, names, own)
        problem = preflight.check(entry.host, door, names)
        if problem is not None:
            raise OrderFailed(problem)
        return names

    async def _take(
        self, entry: HostEntry, order: PendingOrder, chain: bytes, conversation: Conversation
    ) -> None:
        """Keep what was issued, and have it shown from now on."""
        former, key = entry.stored, order.key.encode()
        try:
            stored = await self._workers.disk(self._storage.save, entry.host, chain, key)
        except Refused as error:
            reason = f"what the CA issued cannot be used: {error.message}"
            raise OrderFailed(Problem("order", reason, is_final=True)) from None
        entry.stored, entry.is_asked, entry.ready_at = stored, False, 0.0
        self._enter(entry, "installed")
        self._install(entry.host, stored.files)
        renew_at = renewal.renewal_time(stored.not_before, stored.not_after, random.random())
        renew_at = await self.ask_when_to_renew(entry, conversation) or renew_at
        lifetime = stored.not_after - stored.not_before
        renew_at = renewal.not_at_once(renew_at, lifetime, self._clock())
        # In mind whatever the disk says: the certificate is there, and enough to begin with again.
        entry.record = Record(directory=order.directory, renew_at=renew_at)
        self._publish(_news(entry.host, stored, is_first=former is None))
        await self._keep(entry, entry.record)
        await self._desk.succeeded()

    # ---- the ledger -----------------------------------------------------------------------------

    async def _fail(self, entry: HostEntry, before: Setback | None, problem: Problem) -> None:
        """Enter the problem in the ledger; what cannot be written is kept in mind at least."""
        now = self._clock()
        setback = ledger.after(before, problem, now, random.random())
        if problem.kind == "account":
            self._desk.forget()
        entry.record = ledger.failed(entry.record, before, problem, setback)
        try:
            if problem.scope == "account":
                setback = await self._desk.hold_back(problem)
            else:
                entry.ready_at = time.monotonic() + setback.wait(now)
            await self._keep(entry, entry.record)
        except OSError as error:
            log.error("the ledger of %s cannot be written: %s", entry.host, error)
        self._tell(entry.host, before, problem, setback)

    async def _keep(self, entry: HostEntry, record: Record) -> None:
        """On disk first: raises OSError."""
        await self._workers.disk(self._storage.save_record, entry.host, record)
        entry.record = record

    def _tell(self, host: str, before: Setback | None, problem: Problem, setback: Setback) -> None:
        if problem.is_preflight and before is not None and before.reason == problem.reason:
            return  # it was said already, and is looked at every minute
        log.warning("no certificate for %s: %s", host, problem.reason)
        next_try = datetime.fromtimestamp(setback.next_try, UTC)
        self._publish(
            CertificateFailed(
                host=host, kind=problem.kind, reason=problem.reason, next_try=next_try
            )
        )

    # ---- on the way -----------------------------------------------------------------------------

    def _enter(self, entry: HostEntry, phase: Phase) -> None:
        if entry.phase != phase:
            log.debug("the certificate of %s: %s", entry.host, phase)
            entry.phase = phase

    def _offer(self, host: str, challenge: Challenge) -> None:
        key = host.encode(), challenge.token.encode()
        if key not in self._answers:
            self._answers[key] = challenge.answer.encode()
            self._publish(CertificateChallenged(host=host))

    def _withdraw(self, host: str) -> None:
        name = host.encode()
        self._answers = {key: each for key, each in self._answers.items() if key[0] != name}


def _news(host: str, stored: Stored, *, is_first: bool) -> Event:
    kind = CertificateIssued if is_first else CertificateRenewed
    return kind(
        host=host,
        issuer=stored.certificate.issuer,
        serial=stored.serial,
        not_after=stored.certificate.not_after,
    )


def _new_key() -> bytes:
    from .conversation import new_key

    return new_key()
