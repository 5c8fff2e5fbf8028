"""Looks after the certificates of the hosts that are wanted, for as long as they are.

A task for each host waits until something is due, and then goes through one attempt: preflight, the
account, the order, the certificate. The challenge's answer is served by the proxy meanwhile. What
goes wrong becomes a set-back in the ledger, never an exception that ends a task.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from ...config import AcmeSection
from ...errors import Failed, NotFound, Refused, VoltError
from ...events import (
    AccountRegistered,
    CertificateChallenged,
    CertificateFailed,
    CertificateIssued,
    CertificateOrdered,
    CertificateRenewed,
    CertificateRevoked,
    CertificateSetAside,
    Event,
)
from ..certificate import Files
from . import ledger, preflight, renewal
from .account import is_settled, open_conversation
from .hosts import HostEntry, state_of
from .issue import Course
from .ledger import Account, PendingOrder, Record
from .order import Phase
from .outlook import Outlook
from .problem import OrderFailed, Problem
from .state import HostCertificate, words
from .storage import SetAside, Storage, Stored
from .workers import Workers

if TYPE_CHECKING:
    from .conversation import Challenge, Conversation, Terms

log = logging.getLogger(__name__)

# Orders under way at once; the others wait.
ORDERS_AT_ONCE = 10
# Seconds between two looks at the wall clock, which may be changed.
_LOOK_EVERY = 20.0
# After a revocation a host that is still wanted gets another certificate only then.
_AFTER_REVOCATION = 60.0
# Seconds within which the CA is asked when to renew, once after a start.
_SOON = 300.0


class Certificates:
    """`install(host, files)` is called when a certificate is to be shown from now on, with None
    when it is not any more. `run` is a task; everything else may be called before it."""

    def __init__(
        self,
        settings: AcmeSection,
        directory: Path,
        publish: Callable[[Event], None],
        install: Callable[[str, Files | None], None],
        outlook: Outlook,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._storage = settings, Storage(directory)
        self._publish, self._install = publish, install
        self._outlook, self._clock = outlook, clock
        self._workers = Workers()
        self._turn = asyncio.Semaphore(ORDERS_AT_ONCE)
        self._hosts: dict[str, HostEntry] = {}
        self._answers: dict[tuple[bytes, bytes], bytes] = {}
        self._account, self._account_ready_at = Account(settings.url), 0.0
        self._signing_in = asyncio.Lock()
        self._has_account = False  # whether it was read from disk
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Certificates [{len(self._hosts)} hosts at {self._settings.url}]>"

    # ---- what others ask ------------------------------------------------------------------------

    def want(self, hosts: Collection[str]) -> None:
        """Look after exactly these. What is on disk of others stays there."""
        for host in self._hosts.keys() - set(hosts):
            entry = self._hosts.pop(host)
            if entry.scope is not None:
                entry.scope.cancel()
            self._withdraw(host)
            self._install(host, None)
        for host in hosts:
            if host not in self._hosts:
                self._hosts[host] = HostEntry(host)
                self._news.set()

    def states(self) -> Mapping[str, HostCertificate]:
        """How it is with each host that is wanted."""
        now = self._clock()
        return {host: self._state(entry, now) for host, entry in self._hosts.items()}

    def challenge(self, host: bytes, token: bytes) -> bytes | None:
        """The answer to a CA that asks `host` for `token`."""
        return self._answers.get((host, token))

    def configure(self, settings: AcmeSection) -> None:
        """Go by other settings. What failed by the former ones is tried again, unless the CA has
        asked to wait."""
        if settings == self._settings:
            return
        former, self._settings = self._settings, settings
        if settings.url != former.url:
            self._account, self._has_account = Account(settings.url), False
            self._account_ready_at = 0.0
        elif self._account.setback is not None and self._account.setback.kind != "rate-limited":
            self._account, self._account_ready_at = replace(self._account, setback=None), 0.0
        for entry in self._hosts.values():
            entry.wake.set()

    async def renew(self, host: str | None, force: bool = False) -> None:
        """Begin to order anew: for `host`, or all. Without `force` only where it is due and no
        back-off is left. Raises NotFound, and Refused where one host was named."""
        if host is None:
            chosen = [*self._hosts.values()]
        elif host in self._hosts:
            chosen = [self._hosts[host]]
        else:
            raise NotFound(f"there is no route with --tls auto for {host}")
        for entry in chosen:
            refusal = None if force or entry.is_ordering else self._why_not(entry)
            if refusal is None:
                self._begin_soon(entry, force)
            elif host is not None:
                raise refusal

    async def revoke(self, host: str) -> None:
        """Have the CA revoke the certificate of `host`, and forget it. Raises VoltError."""
        run = self._workers.run
        stored = await run(self._storage.load, host)
        if not isinstance(stored, Stored):
            raise NotFound(f"there is no automatic certificate for {host}")
        record = await run(self._storage.record, host)
        settings = self._settings
        if record.directory is not None and record.directory != settings.url:
            raise Refused(
                f"the certificate of {host} is from {record.directory}",
                "set ingress.acme.directory to that, and try again",
            )
        try:
            conversation, _terms = await self._open()
            await run(conversation.revoke, stored.certificate.pem)
            await run(conversation.close)
            await run(self._storage.remove, host)
        except OrderFailed as error:
            raise Failed(f"the certificate of {host} is not revoked: {error}") from None
        except OSError as error:
            raise Failed(f"the certificate of {host} is revoked, but stays: {error}") from None
        entry = self._hosts.get(host)
        if entry is not None:
            entry.record, entry.stored = Record(), None
            entry.ready_at = time.monotonic() + _AFTER_REVOCATION
        self._install(host, None)
        self._publish(CertificateRevoked(host=host, serial=stored.serial))

    async def load(self) -> None:
        """Read what is on disk for the hosts that are wanted, and have it shown."""
        for entry in [*self._hosts.values()]:
            if not entry.is_loaded:
                await self._load(entry)

    async def run(self) -> None:
        """Look after the certificates for ever."""
        for entry in self._hosts.values():
            entry.scope = None
        async with anyio.create_task_group() as group:
            while True:
                self._news.clear()
                for host, entry in self._hosts.items():
                    if entry.scope is None:
                        entry.scope = anyio.CancelScope()
                        group.start_soon(self._look_after, entry, name=f"certificate of {host}")
                await self._news.wait()

    # ---- waiting --------------------------------------------------------------------------------

    async def _look_after(self, entry: HostEntry) -> None:
        assert entry.scope is not None
        with entry.scope:
            if not entry.is_loaded:
                await self._load(entry)
            await self._read_account()
            while True:
                await self._wait(entry)
                if self._seconds_left(entry) <= 0:
                    async with self._turn:
                        if self._seconds_left(entry) <= 0:
                            await self._attempt(entry)
                elif entry.stored is not None and time.monotonic() >= entry.ask_at:
                    await self._ask_when_to_renew(entry)

    async def _wait(self, entry: HostEntry) -> None:
        """Until something may be due."""
        left = self._seconds_left(entry)
        if entry.stored is not None and entry.ask_at:
            left = min(left, max(entry.ask_at - time.monotonic(), 0.0))
        with anyio.move_on_after(min(left, _LOOK_EVERY)):
            await entry.wake.wait()
        entry.wake.clear()

    def _seconds_left(self, entry: HostEntry) -> float:
        return entry.seconds_left(
            self._account_ready_at, self._settings.url, self._clock(), time.monotonic()
        )

    def _begin_soon(self, entry: HostEntry, force: bool) -> None:
        entry.is_forced = force
        if force:
            self._account_ready_at = 0.0
        entry.wake.set()

    def _why_not(self, entry: HostEntry) -> VoltError | None:
        now = self._clock()
        state = self._state(entry, now)
        if state.state == "failed" and (state.next_try or now) > now:
            return Refused(f"{entry.host}: {words(state, now)}", "--force tries now")
        if state.state == "valid" and state.renew_at is not None:
            renewed = datetime.fromtimestamp(state.renew_at, UTC)
            return Refused(
                f"the certificate of {entry.host} is fresh: {words(state, now)}",
                f"volt renews it by itself on {renewed:%Y-%m-%d %H:%M} UTC; --force does it now",
            )
        return None

    # ---- what is on disk ------------------------------------------------------------------------

    async def _load(self, entry: HostEntry) -> None:
        try:
            found, record = await self._workers.run(_read_host, self._storage, entry.host)
        except OSError as error:
            log.error("the certificate of %s cannot be read: %s", entry.host, error)
            found, record = None, Record()
        entry.is_loaded = True
        if isinstance(found, SetAside):
            log.error("%s: it is now %s", found.reason, found.path)
            entry.warnings = (f"what was stored could not be used: {found.reason}",)
            self._publish(
                CertificateSetAside(host=entry.host, path=found.path, reason=found.reason)
            )
        elif found is not None:
            entry.stored = found
            if self._hosts.get(entry.host) is entry:
                self._install(entry.host, found.files)
        self._resume(entry, record)

    def _resume(self, entry: HostEntry, record: Record) -> None:
        """Go on from what an agent before has written."""
        stored, order = entry.stored, record.order
        if (
            order is not None
            and stored is not None
            and order.key.encode() in stored.certificate.pem
        ):
            # It ended between the two: that was its last step.
            record = Record(directory=order.directory)
        elif order is not None and (order.url is None or order.directory != self._settings.url):
            record = replace(record, order=None)
        if record.setback is not None and record.order is None:
            entry.ready_at = time.monotonic() + record.setback.wait(self._clock())
        if stored is not None:
            if record.renew_at is None:
                renew_at = renewal.renewal_time(stored.not_before, stored.not_after, _jitter())
                record = replace(record, renew_at=renew_at)
            entry.ask_at = time.monotonic() + _SOON * _jitter()
        entry.record = record

    async def _read_account(self) -> None:
        async with self._signing_in:
            if self._has_account:
                return
            self._account = await self._workers.run(self._storage.account, self._settings.url)
            self._has_account = True
            if self._account.setback is not None:
                wait = self._account.setback.wait(self._clock())
                self._account_ready_at = time.monotonic() + wait

    async def _keep(self, entry: HostEntry, record: Record) -> None:
        """On disk first: raises OSError."""
        await self._workers.run(self._storage.save_record, entry.host, record)
        entry.record = record

    # ---- an attempt -----------------------------------------------------------------------------

    async def _attempt(self, entry: HostEntry) -> None:
        """Get a certificate, or enter why not."""
        before = entry.record.setback
        entry.is_ordering, entry.is_forced, entry.phase = True, False, "new"
        try:
            await self._get(entry, before)
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

    async def _get(self, entry: HostEntry, before: ledger.Setback | None) -> None:
        settings = self._settings
        order = entry.record.order
        if order is not None and order.url is not None and order.directory == settings.url:
            conversation, _terms = await self._open()
        else:
            conversation, order = await self._order(entry, settings)
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

    async def _order(
        self, entry: HostEntry, settings: AcmeSection
    ) -> tuple[Conversation, PendingOrder]:
        """Look whether an order makes sense, enter it in the ledger, and place it."""
        names = await self._preflight(entry)
        conversation, terms = await self._open()
        problem = preflight.check_caa(names, terms.caa_identities, self._account.uri or "")
        if problem is not None:
            raise OrderFailed(problem)
        key = await self._workers.run(_new_key)
        order = PendingOrder(settings.url, key.decode())
        await self._keep(entry, ledger.begun(entry.record, order, self._clock(), _jitter()))
        url = await self._place(entry, conversation)
        await self._keep(entry, ledger.placed(entry.record, url))
        assert entry.record.setback is not None
        assert entry.record.order is not None
        self._publish(CertificateOrdered(host=entry.host, attempt=entry.record.setback.attempts))
        return conversation, entry.record.order

    async def _place(self, entry: HostEntry, conversation: Conversation) -> str:
        try:
            return await self._workers.run(conversation.place, entry.host)
        except OrderFailed as error:
            if error.problem.kind == "account":
                # The CA has forgotten it. The key stays: signing in again brings it back.
                self._account = replace(self._account, uri=None)
            raise

    async def _preflight(self, entry: HostEntry) -> preflight.Names:
        await self._outlook.settled()
        names = await self._outlook.names(entry.host)
        door = self._outlook.door()
        own = self._outlook.own(names.addresses or ())
        entry.warnings = preflight.warnings(entry.host, door, names, own)
        problem = preflight.check(entry.host, door, names)
        if problem is not None:
            raise OrderFailed(problem)
        return names

    async def _open(self) -> tuple[Conversation, Terms]:
        """A conversation as our account, which is made first if need be: one at a time."""
        await self._read_account()
        if is_settled(self._account, self._settings) and self._account.setback is None:
            return await self._open_now()
        async with self._signing_in:
            if self._account_ready_at > time.monotonic():
                # Somebody has just tried.
                assert self._account.setback is not None
                raise OrderFailed(
                    Problem(self._account.setback.kind, self._account.setback.reason, "account")
                )
            return await self._open_now()

    async def _open_now(self) -> tuple[Conversation, Terms]:
        conversation, terms, account = await self._workers.run(
            open_conversation, self._storage, self._settings, self._account, self._clock
        )
        if account.uri != self._account.uri:
            self._publish(AccountRegistered(directory=account.directory))
        self._account = replace(account, setback=self._account.setback)
        if self._account.setback is not None:
            await self._keep_account(replace(self._account, setback=None))
        return conversation, terms

    async def _keep_account(self, account: Account) -> None:
        self._account = account
        await self._workers.run(self._storage.save_account, account)

    # ---- its end --------------------------------------------------------------------------------

    async def _take(
        self, entry: HostEntry, order: PendingOrder, chain: bytes, conversation: Conversation
    ) -> None:
        """Keep what was issued and show it from now on."""
        former = entry.stored
        try:
            stored = await self._workers.run(
                self._storage.save, entry.host, chain, order.key.encode()
            )
        except Refused as error:
            reason = f"what the CA issued cannot be used: {error.message}"
            raise OrderFailed(Problem("order", reason, is_final=True)) from None
        entry.stored = stored
        self._enter(entry, "installed")
        self._install(entry.host, stored.files)
        lifetime, now = stored.not_after - stored.not_before, self._clock()
        renew_at = renewal.renewal_time(stored.not_before, stored.not_after, _jitter())
        suggested = await self._suggestion(entry, conversation)
        renew_at = renewal.not_at_once(suggested or renew_at, lifetime, now)
        await self._keep(entry, Record(directory=order.directory, renew_at=renew_at))
        kind = CertificateIssued if former is None else CertificateRenewed
        certificate = stored.certificate
        self._publish(
            kind(
                host=entry.host,
                issuer=certificate.issuer,
                serial=stored.serial,
                not_after=certificate.not_after,
            )
        )

    async def _fail(
        self, entry: HostEntry, before: ledger.Setback | None, problem: Problem
    ) -> None:
        """Enter the problem in the ledger; what cannot be written is kept in mind at least."""
        now, former = self._clock(), before
        if problem.scope == "account":
            former = self._account.setback
        setback = ledger.after(former, problem, now, _jitter())
        record = ledger.failed(entry.record, before, problem, setback)
        try:
            if problem.scope == "account":
                setback = await self._hold_back_all(setback)
            entry.record = record
            await self._keep(entry, record)
        except OSError as error:
            log.error("the ledger of %s cannot be written: %s", entry.host, error)
        if problem.scope == "host":
            entry.ready_at = time.monotonic() + setback.wait(now)
        self._tell(entry, before, problem, setback)

    async def _hold_back_all(self, setback: ledger.Setback) -> ledger.Setback:
        """Let everybody wait; several who fail at once count as one."""
        current = self._account.setback
        if current is not None and self._account_ready_at > time.monotonic():
            return current
        self._account_ready_at = time.monotonic() + setback.wait(self._clock())
        await self._keep_account(replace(self._account, setback=setback))
        return setback

    def _tell(
        self,
        entry: HostEntry,
        before: ledger.Setback | None,
        problem: Problem,
        setback: ledger.Setback,
    ) -> None:
        if problem.is_preflight and before is not None and before.reason == problem.reason:
            return  # it was said already, and is looked at every minute
        next_try = datetime.fromtimestamp(setback.next_try, UTC)
        log.warning("no certificate for %s: %s", entry.host, problem.reason)
        self._publish(
            CertificateFailed(
                host=entry.host, kind=problem.kind, reason=problem.reason, next_try=next_try
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

    # ---- when to renew --------------------------------------------------------------------------

    async def _ask_when_to_renew(self, entry: HostEntry) -> None:
        """Ask the CA, from time to time: it may want a certificate to be replaced early."""
        entry.ask_at = time.monotonic() + 6 * 3600.0
        try:
            conversation, terms = await self._open()
        except (OrderFailed, OSError) as error:
            log.debug("the CA was not asked when to renew: %s", error)
            return
        suggested = await self._suggestion(entry, conversation) if terms.suggests_renewal else None
        conversation.close()
        if suggested is not None:
            entry.record = replace(entry.record, renew_at=suggested)

    async def _suggestion(self, entry: HostEntry, conversation: Conversation) -> float | None:
        assert entry.stored is not None
        pem = entry.stored.certificate.pem
        try:
            renew_at, ask_at = await self._workers.run(conversation.suggested_renewal, pem)
        except OrderFailed as error:
            log.debug("the CA does not say when to renew: %s", error)
            return None
        entry.ask_at = time.monotonic() + max(60.0, ask_at - self._clock())
        return renew_at

    def _state(self, entry: HostEntry, now: float) -> HostCertificate:
        return state_of(entry, self._account, self._settings.url, now)


def _read_host(storage: Storage, host: str) -> tuple[Stored | SetAside | None, Record]:
    return storage.load(host), storage.record(host)


def _new_key() -> bytes:
    from .conversation import new_key

    return new_key()


def _jitter() -> float:
    return random.random()
