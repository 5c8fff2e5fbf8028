"""What keeps the kernel as it is wanted although others change it: mending, patrol, watchdog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import closing

import anyio

from .bus import Bus
from .errors import VoltError
from .events import RulesetTampered
from .firewall.plane import Firewall
from .firewall.revoker import Revoker
from .kernel.edge import Edge
from .kernel.enforcement import enforces_within_bridge
from .networks.reconcile import Reconciler
from .registry import Registry
from .service import ServiceManager

log = logging.getLogger(__name__)

# Everything is looked at once more, should an event ever be missed.
PATROL = 30.0
NOT_ENFORCED = "this kernel does not hold policies within one bridge: modprobe br_netfilter"


async def mend_firewall(bus: Bus, firewall: Firewall, revoker: Revoker, registry: Registry) -> None:
    """Load volt's tables again whenever somebody else has changed them."""
    with closing(bus.feed(RulesetTampered)) as feed:
        async for event in feed:
            assert isinstance(event, RulesetTampered)
            log.warning("%s changed volt's firewall tables", event.by or "somebody")
            try:
                await firewall.repair(event)
                revoker.look_again(registry.snapshot)
            except VoltError as error:
                log.error("cannot load the firewall again: %s", error)


async def patrol(edge: Edge, bridges: Callable[[], Sequence[str]], reconciler: Reconciler) -> None:
    """Look at all that there is, every PATROL seconds."""
    while True:
        await anyio.sleep(PATROL)
        try:
            await edge.look_again(bridges())
        except VoltError as error:
            log.error("%s", error.message)
        reconciler.mark_all()


async def feed_watchdog(manager: ServiceManager) -> None:
    """Tell the service manager that the loop turns."""
    while True:
        manager.notify(watchdog=1)
        await anyio.sleep(manager.watchdog or 1.0)


class Enforcement:
    """Whether this kernel holds policies within one bridge: tried once, in a namespace."""

    def __init__(self) -> None:
        self._holds: bool | None = None  # None: not tried yet
        self._tried = asyncio.Event()

    async def run(self) -> None:
        """Try it, and say so if it does not."""
        self._holds = await enforces_within_bridge()
        self._tried.set()
        if not self._holds:
            log.warning(NOT_ENFORCED)

    async def holds(self) -> bool:
        """Waits until it was tried."""
        await self._tried.wait()
        return self._holds is True

    @property
    def concerns(self) -> list[str]:
        return [NOT_ENFORCED] if self._holds is False else []
