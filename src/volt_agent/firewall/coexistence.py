"""Looks for chains of others that drop volt's traffic: at the start, whenever others change
something, and when a network comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import KernelRefused
from ..kernel.nft import Nft
from ..kernel.tamper import Transaction
from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from .foreign import ForeignDrop, foreign_drops, patterns, suspects

log = logging.getLogger(__name__)

# Seconds. Docker and ufw load their rules in dozens of transactions.
SETTLE = 0.5


class Coexistence:
    """`drops` is what was found last; `bridges` says the names of volt's bridges.

    A follower of the registry.
    """

    def __init__(self, nft: Nft, bridges: Callable[[], Iterable[str]]) -> None:
        self._nft, self._bridges = nft, bridges
        self._changed = asyncio.Event()
        self.drops: tuple[ForeignDrop, ...] = ()

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

    async def look(self) -> tuple[ForeignDrop, ...]:
        """Look now; logs what is new."""
        try:
            found = foreign_drops(await self._listed(), patterns(self._bridges()))
        except KernelRefused as refused:
            log.warning("cannot look at the chains of others: %s", refused)
            return self.drops
        for each in found:
            if each not in self.drops:
                log.warning("%s drops volt's traffic; to heal: %s", each, "; ".join(each.commands))
        self.drops = found
        return found

    async def _listed(self) -> list[dict[str, Any]]:
        objects = []
        for family, table in sorted(suspects(await self._nft.objects("list chains"))):
            objects += await self._nft.objects(f"list table {family} {table}")
        return objects
