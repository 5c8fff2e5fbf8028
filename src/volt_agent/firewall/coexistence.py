"""Looks for chains of others that drop volt's traffic, and for ports of the host that others lead
elsewhere: at the start, whenever others change something, and when a network comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..errors import KernelRefused
from ..kernel.nft import Nft
from ..kernel.tamper import Transaction
from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from .foreign import ForeignDrop, foreign_drops, patterns, suspects
from .foreign_forwards import ForeignForward, foreign_forwards, nat_chains

log = logging.getLogger(__name__)

# Seconds. Docker and ufw load their rules in dozens of transactions.
SETTLE = 0.5


class Coexistence:
    """`drops` and `forwards` are what was found last; `bridges` says the names of volt's bridges.

    A follower of the registry.
    """

    def __init__(self, nft: Nft, bridges: Callable[[], Iterable[str]]) -> None:
        self._nft, self._bridges = nft, bridges
        self._changed = asyncio.Event()
        self.drops: tuple[ForeignDrop, ...] = ()
        self.forwards: tuple[ForeignForward, ...] = ()

    def note(self, _transaction: Transaction) -> None:
        """Somebody else changed something: `TamperWatch`'s `on_foreign`."""
        self._changed.set()

    def follow(self, _old: Snapshot, _new: Snapshot, change: Change) -> None:
        """What dropped nothing of volt's may drop that of a new bridge."""
        if any(isinstance(each, Network) for each in change.touched()):
            self._changed.set()

    async def run(self) -> None:
        """Look now, and again after changes, once they come to rest."""
        self._changed.set()
        while True:
            await self._changed.wait()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(SETTLE)
            await self.look()

    def who_takes(self, port: int, own: Collection[str]) -> str | None:
        """Who leads TCP `port` of the host's `own` addresses elsewhere, in words."""
        return next((str(each) for each in self.forwards if each.takes(port, own)), None)

    async def look(self) -> tuple[ForeignDrop, ...]:
        """Look now; logs what is new."""
        try:
            listed = await self._listed()
        except KernelRefused as refused:
            log.warning("cannot look at the chains of others: %s", refused)
            return self.drops
        self.forwards = foreign_forwards(listed)
        found = foreign_drops(listed, patterns(self._bridges()))
        for each in found:
            if each not in self.drops:
                log.warning("%s drops volt's traffic; to heal: %s", each, "; ".join(each.commands))
        self.drops = found
        return found

    async def _listed(self) -> list[dict[str, Any]]:
        objects, chains = [], await self._nft.objects("list chains")
        rewriting = {(each["family"], each["table"]) for each in nat_chains(chains)}
        for family, table in sorted(suspects(chains) | rewriting):
            objects += await self._nft.objects(f"list table {family} {table}")
        return objects
