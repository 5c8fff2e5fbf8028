"""The ingress, loaded when it is needed: a sixth of the agent's modules, which nobody should wait
for a name for while there is no route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from .bus import Bus
from .registry import Registry
from .service import ServiceManager
from .settings import Settings

if TYPE_CHECKING:
    from .ingress.server import Ingress


class LateIngress:
    """`certificates` is the directory of the automatic ones; `who_takes` names who else leads a
    port of the host elsewhere, `holder` is the socket of who holds tunnels."""

    def __init__(
        self,
        settings: Settings,
        manager: ServiceManager,
        bus: Bus,
        registry: Registry,
        certificates: Path,
        who_takes: Callable[[int, Collection[str]], str | None],
        holder: Path | None,
    ) -> None:
        self._settings, self._manager, self._bus = settings, manager, bus
        self._registry, self._certificates = registry, certificates
        self._who_takes, self._holder = who_takes, holder
        self._ingress: Ingress | None = None
        self._lock = asyncio.Lock()

    async def load(self) -> Ingress:
        """The ingress, which listens from the first call on, as far as there are routes."""
        async with self._lock:
            if self._ingress is None:
                make = await asyncio.to_thread(_ingress_class)
                self._ingress = make(
                    self._settings.ingress,
                    self._manager,
                    self._bus,
                    self._certificates,
                    who_takes=self._who_takes,
                    holder=self._holder,
                )
                self._ingress.open(self._registry.snapshot)
                self._registry.add_follower("ingress", self._ingress)
            return self._ingress

    async def configure(self) -> Ingress:
        """Have it follow the settings."""
        ingress = await self.load()
        ingress.configure(self._settings.ingress)
        return ingress

    @property
    def ports(self) -> tuple[int, ...]:
        """Those it listens on."""
        return () if self._ingress is None else self._ingress.ports

    def problems(self) -> list[str]:
        return [] if self._ingress is None else self._ingress.problems()

    async def close(self) -> None:
        """Drain and stop."""
        if self._ingress is not None:
            await self._ingress.close()


def _ingress_class() -> type[Ingress]:
    from .ingress.server import Ingress

    return Ingress
