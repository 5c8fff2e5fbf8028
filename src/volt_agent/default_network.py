"""Brings the default network to the configuration, at every start of the agent."""

from __future__ import annotations

import logging
from ipaddress import IPv4Interface

from .errors import VoltError
from .kernel.edge import Edge
from .kernel.ops import DeleteAddress
from .networks.decide import Surroundings
from .networks.default import make_default, move_default
from .registry import Registry

log = logging.getLogger(__name__)


class DefaultNetwork:
    """`concern` says in a sentence in which way it is not as configured, and what to do; or None.

    The agent works without it, too: nothing here raises.
    """

    def __init__(self, registry: Registry, edge: Edge, config: str) -> None:
        self._registry, self._edge, self._config = registry, edge, config
        self.concern: str | None = None

    async def bring_about(self, around: Surroundings) -> None:
        """Before the planes start: they find it as it is to be."""
        try:
            await self._registry.commit(lambda snapshot: make_default(snapshot, around))
        except VoltError as error:
            self._tell(
                f"running without the default network {around.default_bridge}: {error.message}; "
                f"set network.default_subnet in {self._config}"
            )
            return
        try:
            await self._move(around)
        except VoltError as error:
            made = self._registry.snapshot.networks[around.default_bridge]
            way = f"; to change it: {error.hint}, then restart the agent" if error.hint else ""
            self._tell(
                f"{made.name} keeps its subnet {made.subnet} instead of the configured "
                f"{around.default_subnet}: {error.message}{way}"
            )

    async def _move(self, around: Surroundings) -> None:
        made = self._registry.snapshot.networks[around.default_bridge]
        ports = self._edge.mirror.ports_of(made.bridge)
        if move_default(self._registry.snapshot, around, ports).is_empty:
            return
        # First: after a crash in between the next start does it again.
        old = IPv4Interface((made.gateway, made.subnet.prefixlen))
        if old in self._edge.mirror.addresses_of(made.bridge):
            await self._edge.execute([DeleteAddress(name=made.bridge, address=old)])
        await self._registry.commit(lambda snapshot: move_default(snapshot, around, ports))
        log.info("%s moved from %s to %s", made.name, made.subnet, around.default_subnet)

    def _tell(self, concern: str) -> None:
        self.concern = concern
        log.error("%s", concern)
