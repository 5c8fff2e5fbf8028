"""net.status: everything about the host's networking that is worth a look in the morning."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from ...dns.server import NameServer
from ...errors import VoltError
from ...firewall.plane import Firewall
from ...host_inbound import closed_listeners
from ...kernel.edge import Edge
from ...kernel.host import listening_ports
from ...model.snapshot import Snapshot
from ...networks.forwarding import FORWARDING
from ...networks.reconcile import Reconciler
from ...registry import Registry
from ..messages import network as messages
from .firewall import unconfirmed_view
from .views import network_views


class HostStatus:
    """Collects net.status. `upstreams` are the configured DNS servers; None: DNS is off.

    `concerns` says in sentences what keeps the firewall from doing as it is asked.
    """

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        reconciler: Reconciler,
        firewall: Firewall,
        names: NameServer,
        upstreams: Callable[[], Sequence[str] | None],
        concerns: Callable[[], Sequence[str]],
    ) -> None:
        self._registry, self._edge, self._reconciler = registry, edge, reconciler
        self._firewall, self._names, self._upstreams = firewall, names, upstreams
        self._concerns = concerns

    async def collect(self) -> messages.NetStatus:
        snapshot = self._registry.snapshot
        forwarding = await self._edge.read_sysctl(FORWARDING) == "1"
        firewall = await self._firewall_state()
        return messages.NetStatus(
            networks=network_views(snapshot, self._edge.mirror),
            forwarding=forwarding,
            firewall=firewall,
            dns=self._dns_state(),
            counts=counts(snapshot),
            closed_ports=await self.closed_ports(),
            problems=self.problems(forwarding, firewall),
            unconfirmed=unconfirmed_view(snapshot, time.time()),
        )

    async def _firewall_state(self) -> messages.FirewallState:
        host = self._registry.snapshot.host
        try:
            drops = {each.name: each.packets for each in await self._firewall.counters()}
        except VoltError:
            drops = {}
        return messages.FirewallState(
            state="loaded" if drops else "absent",
            host_inbound=host.inbound,
            settling=host.settling,
            drops=drops,
        )

    def _dns_state(self) -> messages.DnsState:
        upstreams = self._upstreams()
        if upstreams is None:
            return messages.DnsState(enabled=False)
        return messages.DnsState(
            enabled=True,
            listening=[str(address) for address in self._names.listening],
            upstreams=[*upstreams],
            counters=self._names.counters.as_dict(),
        )

    async def closed_ports(self) -> list[messages.ClosedPort]:
        """What listens on the host and cannot be reached from outside."""
        snapshot = self._registry.snapshot
        listeners = await asyncio.to_thread(listening_ports)
        gateways = {str(network.gateway) for network in snapshot.networks.values()}
        return [
            messages.ClosedPort(
                protocol=each.protocol,
                address=str(each.address),
                port=each.port,
                process=each.process,
            )
            for each in closed_listeners(snapshot.host, listeners, gateways)
        ]

    def problems(
        self, forwarding: bool, firewall: messages.FirewallState | None = None
    ) -> list[str]:
        """What is not as it should be, in sentences."""
        found = [f"{target}: {reason}" for target, reason in self._reconciler.problems.items()]
        if not forwarding:
            found.append("net.ipv4.ip_forward is off: nothing leaves or crosses networks")
        if firewall is not None and firewall.state != "loaded":
            found.append("volt's firewall tables are not loaded")
        return [*found, *self._concerns()]


def counts(snapshot: Snapshot) -> messages.Counts:
    """What there is, in numbers."""
    known = {*snapshot.workloads, *snapshot.instances}
    states = Counter(snapshot.state_of(name) for name in known)
    return messages.Counts(
        running=states["running"],
        stopped=states["stopped"],
        pending=states["pending"],
        rules=len(snapshot.rules),
        policies=len(snapshot.policies),
        forwards=len(snapshot.forwards),
        routes=len(snapshot.routes),
        vlans=len(snapshot.vlans),
    )
