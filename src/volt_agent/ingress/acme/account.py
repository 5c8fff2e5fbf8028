"""The account at the CA: made once, whoever comes first, and everybody's set-back while the CA does
not answer.

Its key is on disk before the CA hears of it. So an agent that is killed in between finds the same
account again, by its key (RFC 8555, section 7.3.1), instead of making another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...config import AcmeSection
from ...events import AccountRegistered, Event
from .ledger import Account, Setback, after
from .problem import OrderFailed, Problem
from .storage import Storage
from .workers import Workers

if TYPE_CHECKING:
    from .conversation import Conversation, Terms

log = logging.getLogger(__name__)


class Desk:
    """Where conversations with the CA of `settings` begin. `ready_at` is when the set-back of the
    account ends, by the monotonic clock."""

    def __init__(
        self,
        settings: AcmeSection,
        storage: Storage,
        workers: Workers,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.account, self.ready_at = Account(settings.url), 0.0
        self._storage, self._workers = storage, workers
        self._publish, self._clock = publish, clock
        self._turn = asyncio.Lock()
        self._is_read = False

    def __repr__(self) -> str:
        return f"<Desk at {self.settings.url} [{self.account.uri or 'no account yet'}]>"

    def configure(self, settings: AcmeSection) -> None:
        """Another CA has another account. What failed by the former settings is tried again, unless
        the CA has asked to wait."""
        former, self.settings = self.settings, settings
        setback = self.account.setback
        if settings.url != former.url:
            self.account, self.ready_at, self._is_read = Account(settings.url), 0.0, False
        elif setback is not None and setback.kind != "rate-limited":
            self.account, self.ready_at = replace(self.account, setback=None), 0.0

    async def read(self) -> None:
        """What an agent before knew of the account. Raises OSError."""
        if self._is_read:
            return
        found = await self._workers.disk(self._storage.account, self.settings.url)
        if self._is_read or found.directory != self.settings.url:
            return  # somebody was faster, or the settings are others
        self.account, self._is_read = found, True
        if found.setback is not None:
            self.ready_at = time.monotonic() + found.setback.wait(self._clock())

    async def open(self) -> tuple[Conversation, Terms]:
        """A conversation as our account, which is made first if need be: one at a time, so that
        there is one account, and one question to a CA that does not answer.

        Raises OrderFailed, and OSError if the account cannot be kept.
        """
        await self.read()
        if _is_settled(self.account, self.settings) and self.account.setback is None:
            return await self._open()
        async with self._turn:
            setback = self.account.setback
            if setback is not None and self.ready_at > time.monotonic():
                # Somebody has just tried.
                raise OrderFailed(Problem(setback.kind, setback.reason, "account"))
            return await self._open()

    async def hold_back(self, problem: Problem) -> Setback:
        """Let everybody wait; several who fail at once count as one. Raises OSError."""
        current = self.account.setback
        if current is not None and self.ready_at > time.monotonic():
            return current
        now = self._clock()
        setback = after(current, problem, now, random.random())
        self.ready_at = time.monotonic() + setback.wait(now)
        await self._keep(replace(self.account, setback=setback))
        return setback

    async def succeeded(self) -> None:
        """The CA has issued a certificate: nothing holds anybody back. Raises OSError."""
        if self.account.setback is not None:
            await self._keep(replace(self.account, setback=None))

    def forget(self) -> None:
        """The CA does not know the account any more: it is made again, with the same key."""
        self.account = replace(self.account, uri=None)

    async def _open(self) -> tuple[Conversation, Terms]:
        settings, former = self.settings, self.account
        conversation, terms, account = await self._workers.ask(
            _open_as, self._storage, settings, former, self._clock
        )
        if account != former:
            await self._keep(account)
        if account.uri != former.uri:
            log.info("the ACME account is %s", account.uri)
            self._publish(AccountRegistered(directory=account.directory))
        return conversation, terms

    async def _keep(self, account: Account) -> None:
        if account.directory == self.settings.url:
            self.account = account
        await self._workers.disk(self._storage.save_account, account)


def _open_as(
    storage: Storage, settings: AcmeSection, account: Account, clock: Callable[[], float]
) -> tuple[Conversation, Terms, Account]:
    """Blocks. Raises OrderFailed."""
    from .conversation import Conversation, new_key

    key = storage.account_key(settings.url)
    if key is None:
        key = new_key()
        storage.save_account_key(settings.url, key)
    conversation = Conversation(settings, key, clock)
    terms = conversation.open()
    return conversation, terms, _signed_in(conversation, settings, account)


def _signed_in(conversation: Conversation, settings: AcmeSection, account: Account) -> Account:
    if account.uri is not None and _is_settled(account, settings):
        conversation.use_account(account.uri)
        return account
    is_known = account.uri is not None
    uri = conversation.register()
    if is_known and account.email != settings.email:
        conversation.update_contact(uri)
    return replace(account, uri=uri, email=settings.email, eab_kid=_eab_kid(settings))


def _is_settled(account: Account, settings: AcmeSection) -> bool:
    """Whether the CA knows the account as it is configured."""
    known = account.email, account.eab_kid
    return account.uri is not None and known == (settings.email, _eab_kid(settings))


def _eab_kid(settings: AcmeSection) -> str | None:
    return None if settings.eab is None else settings.eab.kid
