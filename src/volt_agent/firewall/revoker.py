"""The task that cuts what a change no longer allows."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address

from ..errors import VoltError
from ..kernel.edge import Edge, Flow
from ..model.snapshot import Change, Snapshot
from .revoke import Survivors, revoked

log = logging.getLogger(__name__)


class Revoker:
    """A follower of the registry: the ruleset has the change already when it is told.

    Commits that come while one is dealt with are dealt with together: by the snapshot before the
    first and that after the last.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._flows: dict[Flow, None] = {}
        self._old = self._new = Snapshot()
        self._waiting = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        flows = revoked(old, new, change)
        if flows:
            if not self._flows:
                self._old = old
            self._flows.update(dict.fromkeys(flows))
            self._new = new
            self._idle.clear()
            self._waiting.set()

    async def settled(self) -> None:
        """Return once everything that was revoked before this call has been cut."""
        await self._idle.wait()

    async def run(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            survivors = Survivors(self._old, self._new, self._local_addresses())
            flows, self._flows = list(self._flows), {}
            try:
                gone = await self._edge.forget_flows(flows, survivors.spare)
                if gone:
                    log.info("%d connections cut that are no longer allowed", gone)
            except VoltError as error:
                log.error("connections that are no longer allowed cannot be cut: %s", error)
            if not self._flows:
                self._idle.set()

    def _local_addresses(self) -> list[IPv4Address]:
        return [each.ip for group in self._edge.mirror.addresses.values() for each in group]
