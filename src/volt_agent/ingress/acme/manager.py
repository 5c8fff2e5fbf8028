"""Looks after the certificates of the hosts that are wanted, for as long as they are.

A task for each host waits until something is due and makes an attempt; those of one host never
overlap, so that nothing is ordered twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import anyio
from msgspec.structs import replace

from ...config import AcmeSection
from ...errors import Failed, NotFound, Refused, VoltError
from ...events import CertificateRevoked, CertificateSetAside, Event
from ..certificate import Files
from . import renewal
from .account import Desk
from .attempt import Attempts
from .hosts import HostEntry, state_of
from .ledger import Record
from .outlook import Outlook
from .problem import OrderFailed
from .state import HostCertificate, words
from .storage import SetAside, Storage, Stored
from .workers import Workers

log = logging.getLogger(__name__)

# Orders under way at once; the others wait.
ORDERS_AT_ONCE = 10
# Seconds between two looks at the wall clock, which may be changed.
_LOOK_EVERY = 20.0
# Seconds: a host that is still wanted after a revocation gets another certificate only then.
_AFTER_REVOCATION = 60.0
# Seconds. The CA is asked when to renew some time after a start, and then as often as it likes.
_SOON, _ASK_EVERY = 300.0, 6 * 3600.0


class Certificates:
    """Automatic certificates, kept below `directory`. `install(host, files)` is called when one is
    to be shown from now on, with None when it is not any more. `run` is a task; everything else
    may be called before it."""

    def __init__(
        self,
        settings: AcmeSection,
        directory: Path,
        publish: Callable[[Event], None],
        install: Callable[[str, Files | None], None],
        outlook: Outlook,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish, self._install, self._clock = publish, install, clock
        self._storage, self._workers = Storage(directory), Workers()
        self._desk = Desk(settings, self._storage, self._workers, publish, clock)
        self._attempts = Attempts(
            self._desk, self._storage, self._workers, outlook, publish, install, clock
        )
        self._turn = asyncio.Semaphore(ORDERS_AT_ONCE)
        self._hosts: dict[str, HostEntry] = {}
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Certificates [{len(self._hosts)} hosts, {self._desk!r}]>"

    # ---- what others ask ------------------------------------------------------------------------

    def want(self, hosts: Collection[str]) -> None:
        """Look after exactly these. What is on disk of others stays there."""
        for host in self._hosts.keys() - set(hosts):
            entry = self._hosts.pop(host)
            if entry.scope is not None:
                entry.scope.cancel()
            self._install(host, None)
        for host in hosts:
            if host not in self._hosts:
                self._hosts[host] = HostEntry(host)
                self._news.set()

    def states(self) -> Mapping[str, HostCertificate]:
        """How it is with each host that is wanted."""
        return {host: self._state(entry) for host, entry in self._hosts.items()}

    def state(self, host: str) -> HostCertificate:
        """How it is with one host; one that is not wanted yet will be issued."""
        entry = self._hosts.get(host)
        return HostCertificate(host, "issuing") if entry is None else self._state(entry)

    def challenge(self, host: bytes, token: bytes) -> bytes | None:
        """What a CA is told that asks `host` for `token` (RFC 8555, section 8.3)."""
        return self._attempts.answer(host, token)

    def configure(self, settings: AcmeSection) -> None:
        """Go by other settings from now on."""
        if settings == self._desk.settings:
            return
        self._desk.configure(settings)
        for entry in self._hosts.values():
            entry.wake.set()

    async def renew(self, host: str | None, force: bool = False) -> None:
        """Begin to order anew: for `host`, or for all. Without `force` only where something is due
        and no back-off is left. Raises NotFound, and Refused where one host was named."""
        if host is not None and host not in self._hosts:
            raise NotFound(f"there is no route with --tls auto for {host}")
        chosen = [self._hosts[host]] if host is not None else [*self._hosts.values()]
        for entry in chosen:
            if entry.is_ordering:
                continue  # what is asked for is under way
            refusal = None if force else self._why_not(entry)
            if refusal is None:
                self._begin_soon(entry, force)
            elif host is not None:
                raise refusal

    async def revoke(self, host: str) -> None:
        """Have the CA revoke the certificate of `host`, and forget it. Raises VoltError, and then
        it is still there."""
        found, record = await self._workers.disk(_read, self._storage, host)
        if not isinstance(found, Stored):
            raise NotFound(f"there is no automatic certificate for {host}")
        if record.directory not in (None, self._desk.settings.url):
            raise Refused(
                f"the certificate of {host} is from {record.directory}",
                "set ingress.acme.directory to that, and try again",
            )
        # A revocation is no way around what a CA has asked to wait.
        record = Record(setback=record.setback)
        await self._have_revoked(found, host, record)
        entry = self._hosts.get(host)
        if entry is not None:
            entry.record, entry.stored = record, None
            entry.ready_at = time.monotonic() + _AFTER_REVOCATION
        self._install(host, None)
        self._publish(CertificateRevoked(host=host, serial=found.serial))

    async def load(self) -> None:
        """Read what is on disk for the hosts that are wanted, and have it shown."""
        for entry in [*self._hosts.values()]:
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

    # ---- one host -------------------------------------------------------------------------------

    async def _look_after(self, entry: HostEntry) -> None:
        assert entry.scope is not None
        with entry.scope:
            while not entry.is_loaded:
                # Without knowing what is there, nothing is ordered.
                await self._load(entry)
                await self._wait(entry)
            while True:
                await self._wait(entry)
                if self._seconds_left(entry) <= 0:
                    async with self._turn:
                        # Meanwhile the CA may have turned out not to answer.
                        if self._seconds_left(entry) <= 0:
                            await self._attempts.run(entry)
                elif entry.stored is not None and time.monotonic() >= entry.ask_at:
                    await self._ask_when_to_renew(entry)

    async def _wait(self, entry: HostEntry) -> None:
        """Until something may be due."""
        left = self._seconds_left(entry)
        if entry.stored is not None:
            left = min(left, max(entry.ask_at - time.monotonic(), 0.0))
        with anyio.move_on_after(min(left, _LOOK_EVERY)):
            await entry.wake.wait()
        entry.wake.clear()

    async def _ask_when_to_renew(self, entry: HostEntry) -> None:
        """A CA that has to revoke certificates says so by an early time."""
        entry.ask_at = time.monotonic() + _ASK_EVERY
        try:
            conversation, terms = await self._desk.open()
        except (OrderFailed, OSError) as error:
            log.debug("the CA was not asked when to renew: %s", error)
            return
        renew_at = None
        if terms.suggests_renewal:
            renew_at = await self._attempts.ask_when_to_renew(entry, conversation)
        conversation.close()
        if renew_at is not None:
            entry.record = replace(entry.record, renew_at=renew_at)

    def _seconds_left(self, entry: HostEntry) -> float:
        desk = self._desk
        return entry.seconds_left(desk.ready_at, desk.settings.url, self._clock(), time.monotonic())

    def _begin_soon(self, entry: HostEntry, force: bool) -> None:
        entry.is_asked, entry.is_forced = True, force
        if force:
            self._desk.ready_at = 0.0
        entry.wake.set()

    def _why_not(self, entry: HostEntry) -> VoltError | None:
        """Why nothing is ordered by hand."""
        now, state = self._clock(), self._state(entry)
        if state.state == "failed" and (state.next_try or now) > now:
            return Refused(f"{entry.host}: {words(state, now)}", "--force tries now")
        if state.state == "valid" and state.renew_at is not None:
            renewed = datetime.fromtimestamp(state.renew_at, UTC)
            return Refused(
                f"the certificate of {entry.host} is fresh: {words(state, now)}",
                f"volt renews it by itself on {renewed:%Y-%m-%d %H:%M} UTC; --force does it now",
            )
        return None

    def _state(self, entry: HostEntry) -> HostCertificate:
        return state_of(entry, self._desk.account, self._desk.settings.url, self._clock())

    async def _have_revoked(self, stored: Stored, host: str, record: Record) -> None:
        ask = self._workers.ask
        try:
            conversation, _terms = await self._desk.open()
            await ask(conversation.revoke, stored.certificate.pem)
            conversation.close()
        except OrderFailed as error:
            raise Failed(f"the certificate of {host} was not revoked: {error}") from None
        try:
            await self._workers.disk(self._storage.save_record, host, record)
            await self._workers.disk(self._storage.remove, host)
        except OSError as error:
            raise Failed(
                f"the certificate of {host} is revoked, but still there: {error}"
            ) from None

    # ---- what is on disk ------------------------------------------------------------------------

    async def _load(self, entry: HostEntry) -> None:
        if entry.is_loaded:
            return
        try:
            found, record = await self._workers.disk(_read, self._storage, entry.host)
            await self._desk.read()
        except OSError as error:
            log.error("the certificate of %s cannot be read: %s", entry.host, error)
            entry.warnings = (f"what is stored cannot be read: {error.strerror or error}",)
            entry.ready_at = time.monotonic() + _LOOK_EVERY
            return
        entry.is_loaded, entry.ready_at, entry.warnings = True, 0.0, ()
        if isinstance(found, SetAside):
            self._report(entry, found)
        elif found is not None:
            entry.stored = found
            self._install(entry.host, found.files)
        self._resume(entry, record)

    def _report(self, entry: HostEntry, aside: SetAside) -> None:
        log.error("%s; it was moved to %s", aside.reason, aside.path)
        entry.warnings = (f"what was stored could not be used: {aside.reason}",)
        self._publish(CertificateSetAside(host=entry.host, path=aside.path, reason=aside.reason))

    def _resume(self, entry: HostEntry, record: Record) -> None:
        """Go on from what an agent before has written."""
        stored, order = entry.stored, record.order
        if (
            order is not None
            and stored is not None
            and order.key in stored.certificate.pem.decode()
        ):
            # It ended between its last two steps.
            record = Record(directory=order.directory)
        elif order is not None and (
            order.url is None or order.directory != self._desk.settings.url
        ):
            record = replace(record, order=None)
        if record.setback is not None and record.order is None:
            entry.ready_at = time.monotonic() + record.setback.wait(self._clock())
        if stored is not None:
            entry.ask_at = time.monotonic() + _SOON * (1 + random.random())
            if record.renew_at is None:
                renew_at = renewal.renewal_time(
                    stored.not_before, stored.not_after, random.random()
                )
                record = replace(record, renew_at=renew_at)
        entry.record = record


def _read(storage: Storage, host: str) -> tuple[Stored | SetAside | None, Record]:
    return storage.load(host), storage.record(host)
