"""The doors of the host itself: keeps `network.firewall` in the model, as the host is now."""

from __future__ import annotations

import asyncio
import logging

import anyio

from .errors import VoltError
from .host_inbound import closed_listeners, host_policy
from .kernel.host import listening_ports, sshd_ports
from .late_ingress import LateIngress
from .model.snapshot import Change, Snapshot
from .registry import Registry
from .settings import Settings

log = logging.getLogger(__name__)

# Conntrack learns the running connections of a live host before anything of it is denied.
SETTLE = 5.0
# Until the next attempt, where the kernel refused that.
SETTLE_RETRY = 1.0


class HostDoors:
    """`update` is called whenever sshd, the ingress or the configuration may have changed."""

    def __init__(self, registry: Registry, settings: Settings, ingress: LateIngress) -> None:
        self._registry, self._settings, self._ingress = registry, settings, ingress

    async def update(self, settling: bool | None = None) -> None:
        """Have the firewall let in what is open now. `settling` None: as it is."""
        ports = await asyncio.to_thread(sshd_ports)

        def decide(snapshot: Snapshot) -> Change:
            settles = snapshot.host.settling if settling is None else settling
            section = self._settings.config.network.firewall
            policy = host_policy(section, ports, settles, self._ingress.ports)
            return Change() if snapshot.host == policy else Change(put=(policy,))

        await self._registry.commit(decide)

    async def begin_settling(self) -> None:
        """The firewall was not there before: name what it closes, and deny nothing yet."""
        await self._warn_of_closed_ports()
        await self.update(settling=True)

    async def settle(self) -> None:
        """Deny what is to be denied, once conntrack knows what runs. A kernel that refuses is asked
        again: the open form stays as long, and the agent must not end for it."""
        reason = None
        await anyio.sleep(SETTLE)
        while self._registry.snapshot.host.settling:
            try:
                await self.update(settling=False)
            except VoltError as error:
                if error.message != reason:
                    log.error("the host's inbound default is not in force yet: %s", error)
                reason = error.message
                await anyio.sleep(SETTLE_RETRY)
        log.info("the host's inbound default is in force")

    async def _warn_of_closed_ports(self) -> None:
        snapshot = self._registry.snapshot
        gateways = {str(network.gateway) for network in snapshot.networks.values()}
        listeners = await asyncio.to_thread(listening_ports)
        for each in closed_listeners(snapshot.host, listeners, gateways):
            log.warning(
                "%s port %s on %s (%s) will be closed to the outside in %d s; "
                "network.firewall.host_allow keeps ports open",
                each.protocol,
                each.port,
                each.address,
                each.process or "unknown process",
                SETTLE,
            )
