"""Brings the kernel to what the snapshot says, and the snapshot's ports to what the kernel has.

Level-triggered: whatever happened, a target is looked at as it is now. Three things put targets on
the agenda: a commit (`follow`), a message from the kernel (`LinksChanged`, `InsideChanged`,
`SysctlChanged`), and a timer after a failure. What is right is decided in `plan` and `observe`, and
done in `ports`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping

from ..bus import Bus
from ..errors import StoreFailed, VoltError
from ..events import Degraded, InsideChanged, LinksChanged, Repaired, SysctlChanged
from ..firewall.quote import is_quotable
from ..kernel.edge import Edge
from ..kernel.host import boot_id
from ..kernel.ops import DeleteLink, SetSysctl
from ..kernel.state import Link
from ..model.names import bridge_alias, is_vlan_alias
from ..model.network import Connection, Network
from ..model.snapshot import Change, Snapshot
from ..model.vlan import Vlan
from ..model.workload import Instance, Port
from ..registry import Registry
from .agenda import Agenda, Rank, Target
from .forwarding import FORWARDING, remember_former
from .machine_resolvconf import MachineResolvConf
from .observe import bridge_network, connection_key, foreign_name, is_foreign, network_by_alias
from .patience import Patience
from .plan import plan_bridge
from .ports import Ports
from .resolvconf import ResolvConf
from .resolvers import Resolvers
from .strangers import Strangers
from .vlans import plan_vlan

log = logging.getLogger(__name__)

# Ports brought in order with one call to the kernel: a burst of starts, or a remade bridge.
BATCH = 16
# Seconds: to the second look, then from a first failure to the next try, doubled after each.
SECOND_LOOK, RETRY_FIRST, RETRY_LAST = 0.02, 0.2, 30.0


class Reconciler:
    """See the module. `on_bridge(network, ifindex)` is called when a network's bridge is right."""

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        bus: Bus,
        resolv_conf: ResolvConf,
        on_bridge: Callable[[Network, int], None],
    ) -> None:
        self._registry, self._edge, self._bus = registry, edge, bus
        self._on_bridge = on_bridge
        self._agenda = Agenda()
        resolvers = Resolvers(resolv_conf, MachineResolvConf())
        self.ports = Ports(registry, edge, bus, resolvers, self._verify_inside)
        self.strangers = Strangers(edge, self.ports.namesake_of)
        self._in_order: set[Target] = set()
        self._patience = Patience()
        self._resting: set[Target] = set()  # repaired too often: looked at again when it is time
        self._doubtful: set[Target] = set()  # refused once
        self._failures: dict[Target, tuple[float, str]] = {}  # refused again: delay, reason
        self._bridge_index: dict[str, int] = {}
        self._has_netfilter = True
        self._background: set[asyncio.Task[None]] = set()
        bus.subscribe(LinksChanged, self._links_changed)
        bus.subscribe(InsideChanged, self._inside_changed)
        bus.subscribe(SysctlChanged, lambda _: self._mark(Rank.HOST, ""))

    # ---- what puts targets on the agenda --------------------------------------------------------

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        """Called with every commit, before it returns."""
        for each in change.touched():
            if isinstance(each, Network):
                self._expect(Rank.NETWORK, each.name)
            elif isinstance(each, Vlan):
                self._expect(Rank.UPLINK, each.name)
            elif isinstance(each, Connection):
                self._expect(Rank.PORT, each.key)
                for sibling in new.connections_of.get(each.workload, ()):
                    if sibling.key != each.key:  # the default route may be its task now
                        self._expect(Rank.INSIDE, sibling.key)
            elif isinstance(each, Instance):
                for connection in new.connections_of.get(each.name, ()):
                    self._expect(Rank.PORT, connection.key)
                    self.ports.begin(connection.key)
        gone = [each for each in change.delete if isinstance(each, Port)]
        if gone:
            self._spawn(self._forget_flows(gone))

    def _links_changed(self, event: LinksChanged) -> None:
        if event.resynced:
            self.mark_all()
            return
        snapshot, mirror = self._registry.snapshot, self._edge.mirror
        bridges = {network.bridge: network.name for network in snapshot.networks.values()}
        for name in event.names:
            if name in bridges:
                self._mark(Rank.NETWORK, bridges[name])
            for vlan in snapshot.vlans.values():
                if name in (vlan.name, vlan.parent):
                    self._mark(Rank.UPLINK, vlan.name)
            if name in self.ports.by_interface:
                self._mark(Rank.PORT, self.ports.by_interface[name])
            if name in mirror.links:  # perhaps another one under the same name
                self._mark_link(mirror.links[name], snapshot)

    def _mark_link(self, link: Link, snapshot: Snapshot) -> None:
        key = connection_key(link)
        if key is not None:
            self._mark(Rank.PORT, key)
            return
        if is_vlan_alias(link.alias):
            self._mark(Rank.UPLINK, link.name)
            return
        network = bridge_network(link, snapshot, self._edge.mirror) if link.master else None
        if network is not None and is_foreign(link):
            key = f"{network.name}/{foreign_name(link)}"
            has_namesake = self.ports.namesake_of(network, link) is not None
            if not has_namesake:
                self.ports.foreign[key] = link.name
                self._mark(Rank.PORT, key)
            if has_namesake or not is_quotable(link.name):  # see `strangers`
                self._mark(Rank.NETWORK, network.name)

    def _inside_changed(self, event: InsideChanged) -> None:
        link = self._edge.mirror.links.get(event.interface)
        key = connection_key(link) if link is not None else None
        if key is not None and self.ports.is_furnished(key):
            self._mark(Rank.INSIDE, key)

    def mark_all(self) -> None:
        """Look at everything once more."""
        snapshot = self._registry.snapshot
        self._mark(Rank.HOST, "")
        for name in snapshot.networks:
            self._mark(Rank.NETWORK, name)
        for name in snapshot.vlans:
            self._mark(Rank.UPLINK, name)
        for key in {*snapshot.connections, *snapshot.ports}:
            self._mark(Rank.PORT, key)
        for link in list(self._edge.mirror.links.values()):
            self._mark_link(link, snapshot)
            network = network_by_alias(link)
            if network is not None and network not in snapshot.networks:
                self._mark(Rank.NETWORK, network)  # deleted, and the agent died before its bridge

    def _mark(self, rank: Rank, key: str) -> None:
        target = Target(rank, key)
        if target not in self._resting:
            self._agenda.add(target, time.monotonic())

    def _expect(self, rank: Rank, key: str) -> None:
        """Mark something that a commit changed: to bring it in order is no repair."""
        target = Target(rank, key)
        self._in_order.discard(target)
        self._resting.discard(target)
        self._mark(rank, key)

    def _verify_inside(self, key: str) -> None:
        self._expect(Rank.INSIDE, key)

    # ---- who waits, and what is wrong -----------------------------------------------------------

    async def settled(self, *targets: Target) -> None:
        """Wait until `targets` have been looked at; raises the VoltError that one ended with."""
        await self._agenda.settled(targets)

    async def settled_all(self, up_to: Rank = Rank.INSIDE) -> None:
        """Wait until nothing of these ranks is left to do; what failed is in `problems`."""
        while targets := self._agenda.targets(up_to):
            await asyncio.gather(*map(self.settled, targets), return_exceptions=True)

    @property
    def problems(self) -> Mapping[Target, str]:
        """What could not be brought in order, and why."""
        return {target: reason for target, (_, reason) in self._failures.items()}

    # ---- the task -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled; from then on, until it runs again, no commit has a port made."""
        self.ports.go_on()
        try:
            while True:
                rank, keys = await self._agenda.take(BATCH)
                if rank is Rank.PORT:
                    for key in keys:
                        self.ports.begin(key)
                for key, at in keys.items():
                    await self._look_at(Target(rank, key), at)
        except asyncio.CancelledError:
            self.ports.end()
            raise

    async def _look_at(self, target: Target, at: float) -> None:
        try:
            changed = await self._bring_in_order(target)
        except VoltError as error:
            self._failed(target, error)
            return
        self._doubtful.discard(target)
        if changed and (target in self._in_order or target in self._failures):
            ms = round((time.monotonic() - at) * 1e3, 1)
            log.warning("repaired %s", target, extra={"fields": {"effective_ms": ms}})
            self._bus.publish(Repaired(what=str(target), effective_ms=ms))
            self._rest_after_repair(target)
        self._failures.pop(target, None)
        self._in_order.add(target)
        if target.rank is Rank.PORT and self.ports.is_furnished(target.key):
            self._in_order.add(Target(Rank.INSIDE, target.key))
        self._agenda.done(target)

    def _rest_after_repair(self, target: Target) -> None:
        """What is broken again and again is looked at once in a while."""
        seconds = self._patience.repaired(target, time.monotonic())
        if seconds and target not in self._resting:
            self._resting.add(target)
            asyncio.get_running_loop().call_later(seconds, self._look_again, target)

    def _look_again(self, target: Target) -> None:
        self._resting.discard(target)
        self._mark(*target)

    async def _bring_in_order(self, target: Target) -> bool:
        match target.rank:
            case Rank.HOST:
                return await self._look_at_host()
            case Rank.NETWORK:
                return await self._look_at_network(target.key)
            case Rank.UPLINK:
                return await self._look_at_vlan(target.key)
            case Rank.PORT:
                return await self.ports.look_at(target.key)
            case Rank.INSIDE:
                return await self.ports.look_inside(target.key)

    def _failed(self, target: Target, error: VoltError) -> None:
        """Try again soon; a second refusal in a row is told."""
        later = asyncio.get_running_loop().call_later
        if target not in self._doubtful:
            # Something may have come or gone under our hands: a namespace or a bridge that ends.
            self._doubtful.add(target)
            self._agenda.postpone(target)
            later(SECOND_LOOK, self._mark, *target)
            return
        delay, reason = self._failures.get(target, (RETRY_FIRST / 2, ""))
        delay = min(delay * 2, RETRY_LAST)
        self._failures[target] = (delay, error.message)
        if reason != error.message:
            log.error("%s: %s", target, error.message, extra={"fields": {"retry_s": delay}})
            self._bus.publish(Degraded(what=str(target), reason=error.message))
        self._agenda.done(target, error)
        later(delay, self._mark, *target)

    # ---- the host and its bridges ---------------------------------------------------------------

    async def _look_at_host(self) -> bool:
        """Forwarding on: without it nothing leaves a network."""
        present = await self._edge.read_sysctl(FORWARDING) or "0"
        try:
            await self._registry.commit(lambda now: remember_former(now, present, boot_id()))
        except StoreFailed as error:  # a full disk must not keep packets from flowing
            log.warning("`volt agent reset` will not know of %s: %s", FORWARDING, error.message)
        if present == "1":
            return False
        await self._edge.execute([SetSysctl(key=FORWARDING, value="1")])
        return True

    async def _look_at_network(self, name: str) -> bool:
        snapshot, mirror = self._registry.snapshot, self._edge.mirror
        network = snapshot.networks.get(name)
        if network is None:
            return await self._remove_bridge(name)
        ops = plan_bridge(network, mirror, self._has_netfilter)
        if ops:
            await self._edge.execute(ops)
        await self.strangers.turn_away(network)
        link = mirror.links.get(network.bridge)
        if link is None:  # gone again already: its message has put it back on the agenda
            return True
        if not link.netfilter and self._has_netfilter:
            self._has_netfilter = False
            log.warning("no br_netfilter in this kernel: policies within one network do not hold")
        if self._bridge_index.get(name, link.index) != link.index:
            for key in snapshot.connections:
                if key.startswith(name + "/"):
                    self._mark(Rank.PORT, key)
            for vlan in snapshot.vlans.values():
                if vlan.network == name:
                    self._mark(Rank.UPLINK, vlan.name)
        self._bridge_index[name] = link.index
        self._on_bridge(network, link.index)
        return bool(ops)

    async def _look_at_vlan(self, name: str) -> bool:
        ops = plan_vlan(name, self._registry.snapshot, self._edge.mirror)
        if ops:
            await self._edge.execute(ops)
        return bool(ops)

    async def _remove_bridge(self, name: str) -> bool:
        self._bridge_index.pop(name, None)
        links = self._edge.mirror.with_alias(bridge_alias(name))
        if links:
            await self._edge.execute([DeleteLink(name=link) for link in links])
        return bool(links)

    async def _forget_flows(self, gone: list[Port]) -> None:
        try:
            await self.ports.forget_flows(gone)
        except VoltError as error:
            log.error("cannot delete tracked connections of stopped workloads: %s", error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
