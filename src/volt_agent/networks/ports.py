"""Brings one port in order: attaches, mends, furnishes and takes away. The decisions are in `plan`.

Every method looks at things as they are now, does what is missing and returns whether it did
anything. The port it finds in the kernel afterwards is what the snapshot gets to know.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from ..bus import Bus
from ..errors import KernelRefused, Refused
from ..events import PortSeen
from ..kernel.edge import Edge, Flow
from ..kernel.ops import DeleteLink, Op
from ..kernel.state import Link
from ..model.names import port_alias
from ..model.network import Connection, Network
from ..model.snapshot import Change, Snapshot
from ..model.workload import Instance, Port
from ..registry import Registry
from .effects import Effects
from .observe import bridge_network, foreign_name, foreign_port, is_foreign, made_port
from .plan import (
    end_inside,
    free_name_inside,
    is_way_out,
    plan_greeting,
    plan_inside,
    plan_tap,
    plan_veth,
)
from .resolvconf import content
from .resolvers import Resolvers


class Resolver(Struct, frozen=True):
    """What goes into workloads' resolv.conf; `enabled` False leaves theirs alone."""

    enabled: bool = True
    search_domains: tuple[str, ...] = ()


class Attached(Struct, frozen=True):
    """The run of a workload that a veth of ours leads into, and its name in there."""

    identity: str
    inside: str


class Begun(Struct, frozen=True, eq=False):
    """A veth that is being made, since `at` (time.perf_counter()), and for what."""

    connection: Connection
    instance: Instance
    inside: str
    at: float
    done: asyncio.Future[None]


async def _let_others_go_first() -> None:
    """Let the loop answer whoever has been waiting for the names that were just published.

    Twice: the first turn only finds out that a question has arrived.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _note_refusal(done: asyncio.Future[None]) -> None:
    """A refusal that nobody gets to see, since the agent ends, is no mistake of the program."""
    if not done.cancelled():
        done.exception()


def _check_kind(connection: Connection, instance: Instance | None) -> None:
    """Say why a running workload cannot have its port, rather than leave it without a network."""
    name, network = connection.workload, connection.network
    if instance is None:
        return
    if connection.kind == "container" and instance.kind == "container":
        if instance.runtime == "port":
            raise Refused(f"only a bridge port of {name} is known, not where its inside is")
        raise Refused(
            f"{name} shares the host's network: nothing can be attached to it",
            "start it with a network of its own: systemd-nspawn --private-network",
        )
    if instance.namespace is not None:
        raise Refused(
            f"{name} runs as a container, but is connected to {network} as a vm",
            f"volt net disconnect {name}; volt net connect {network} {name} --kind container",
        )


class Ports:
    """All ports of all networks. `verify(key)` is called to have an inside looked at later."""

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        bus: Bus,
        resolvers: Resolvers,
        verify: Callable[[str], None],
    ) -> None:
        self._registry, self._edge, self._bus = registry, edge, bus
        self._resolvers = resolvers
        self._verify = verify
        self._attached: dict[str, Attached] = {}
        self._begun: dict[str, Begun] = {}
        self._ungreeted: set[str] = set()  # fresh ports that do not run yet
        self._is_over = False
        self.resolver = Resolver()
        self.effects = Effects(bus)
        self.foreign: dict[str, str] = {}  # port key -> interface that somebody else attached
        self.by_interface: dict[str, str] = {}  # interface -> key of the port published with it

    def namesake_of(self, network: Network, link: Link) -> str | None:
        """The interface of the port that has the name which `link` (not ours) would have on
        `network`; None if there is none: then `link` has it, once it is in `foreign`.

        Who was there first keeps the name, and a port that volt made is always first.
        """
        name, snapshot, mirror = foreign_name(link), self._registry.snapshot, self._edge.mirror
        key = f"{network.name}/{name}"
        connection = snapshot.connections.get(key)
        if connection is not None and made_port(connection, snapshot, mirror, None) is not None:
            return connection.interface
        first = mirror.links.get(self.foreign.get(key, ""))
        if first is None or first.index == link.index or first.master != link.master:
            return None
        return first.name if is_foreign(first) and foreign_name(first) == name else None

    def is_furnished(self, key: str) -> bool:
        """Whether our end in there has been set up, so that a change in there is not our own."""
        return key in self._attached

    # ---- a port ---------------------------------------------------------------------------------

    def begin(self, key: str) -> None:
        """Have the missing port of a running container made already; `look_at` has to follow.

        Making it takes the kernel a millisecond, in which the agent does all that does not need it.
        """
        snapshot, mirror = self._registry.snapshot, self._edge.mirror
        connection = snapshot.connections.get(key)
        instance = snapshot.instances.get(key.partition("/")[2])
        if self._is_over or connection is None or instance is None or instance.namespace is None:
            return
        if connection.kind != "container" or key in self._attached or key in self._begun:
            return
        if not self._is_unattached(connection) or self._has_other_port(key):
            return
        if snapshot.networks[connection.network].bridge not in mirror.links:
            return
        began, name = time.perf_counter(), f"eth{connection.slot}"
        done = self._edge.begin(self._plan(connection, instance, name))
        done.add_done_callback(_note_refusal)
        self._begun[key] = Begun(connection, instance, name, began, done)

    def end(self) -> None:
        """Begin nothing any more: nobody would look at it."""
        self._is_over = True

    def go_on(self) -> None:
        """Begin again."""
        self._is_over = False

    async def look_at(self, key: str) -> bool:
        """Bring the port NETWORK/WORKLOAD in order."""
        begun = self._begun.pop(key, None)
        changed = (begun is not None and await self._is_made(begun)) or await self._mend(key)
        await self._publish(key)
        await _let_others_go_first()
        instance = self._registry.snapshot.instances.get(key.partition("/")[2])
        if instance is not None:
            await self._write_resolv_conf(instance)
            self.effects.check(instance.name, self._registry.snapshot)
        await self._greet(key)
        return changed

    async def _is_made(self, begun: Begun) -> bool:
        """Wait for what `begin` began; whether the port is there as it is wanted now."""
        connection, instance = begun.connection, begun.instance
        try:
            await self._edge.finish(begun.done)
        except KernelRefused:
            return False  # a second attempt finds another way, or says what is wrong
        self._note_attached(connection, instance, begun.inside, begun.at)
        snapshot = self._registry.snapshot
        wanted = snapshot.connections.get(connection.key), snapshot.instances.get(instance.name)
        return wanted == (connection, instance)

    async def _mend(self, key: str) -> bool:
        snapshot = self._registry.snapshot
        connection = snapshot.connections.get(key)
        instance = snapshot.instances.get(key.partition("/")[2])
        if connection is None:
            changed = await self._take_away(key)
        elif self._has_other_port(key):
            changed = False
        elif connection.kind == "vm":
            changed = await self._execute(
                plan_tap(connection, snapshot.networks[connection.network], self._edge.mirror)
            )
            _check_kind(connection, instance)
        elif instance is not None and instance.namespace is not None:
            changed = await self._attach(connection, instance)
        else:
            changed = await self._take_away(key)
            _check_kind(connection, instance)
        return changed

    def _is_unattached(self, connection: Connection) -> bool:
        return connection.interface not in self._edge.mirror.links

    def _has_other_port(self, key: str) -> bool:
        """Whether the workload's runtime has put it on this network already."""
        port = self._observe(key, self._registry.snapshot)
        return port is not None and not port.made

    async def _attach(self, connection: Connection, instance: Instance) -> bool:
        attached = self._attached.get(connection.key)
        if attached is not None and attached.identity != instance.identity:
            await self._take_away(connection.key)
            attached = None
        if not self._is_unattached(connection):
            if attached is None:  # found after a restart: carries traffic, look inside later
                self._verify(connection.key)
            return await self._execute(self._plan(connection, instance, ""))
        began, name = time.perf_counter(), f"eth{connection.slot}"
        try:
            await self._execute(self._plan(connection, instance, name))
        except KernelRefused as error:
            if error.errno != errno.EEXIST:
                raise
            # A name inside is taken, or there is a default route already.
            inside = await self._edge.inside(instance.namespace or "")
            end = end_inside(connection, inside)
            name = end.name if end is not None else free_name_inside(connection, inside)
            await self._execute(self._plan(connection, instance, name))
            self._verify(connection.key)
        self._note_attached(connection, instance, name, began)
        return True

    def _note_attached(
        self, connection: Connection, instance: Instance, inside: str, began: float
    ) -> None:
        self._attached[connection.key] = Attached(instance.identity, inside)
        self._ungreeted.add(connection.key)
        self.effects.add(instance.name, {"link": (time.perf_counter() - began) * 1e3})

    async def _greet(self, key: str) -> None:
        """Help those who asked for a fresh port before it was there, as soon as it can be used."""
        snapshot = self._registry.snapshot
        connection = snapshot.connections.get(key)
        if connection is None or key not in self._ungreeted:
            return
        network = snapshot.networks[connection.network]
        if await self._execute(plan_greeting(connection, network, self._edge.mirror)):
            self._ungreeted.discard(key)

    def _plan(self, connection: Connection, instance: Instance, inside: str) -> list[Op]:
        return plan_veth(
            connection,
            self._registry.snapshot,
            self._edge.mirror,
            instance.namespace or "",
            inside,
        )

    async def _take_away(self, key: str) -> bool:
        """Remove what volt made for a port that should not be (the workload stopped, or left)."""
        network, _, workload = key.partition("/")
        self._attached.pop(key, None)
        self._ungreeted.discard(key)
        links = self._edge.mirror.with_alias(port_alias(network, workload))
        changed = await self._execute([DeleteLink(name=name) for name in links])
        await self._remove_resolv_conf(workload)
        return changed

    async def _execute(self, ops: list[Op]) -> bool:
        if ops:
            await self._edge.execute(ops)
        return bool(ops)

    # ---- what the snapshot gets to know ---------------------------------------------------------

    async def _publish(self, key: str) -> None:
        """Commit the port as the kernel has it now; its names appear or vanish with this."""
        before = self._registry.snapshot.ports.get(key)
        commit = await self._registry.commit(lambda snapshot: self._port_change(key, snapshot))
        if commit.change.is_empty:
            return
        port = commit.new.ports.get(key)
        self._remember_interface(before, port)
        if port is not None and not port.made and before is None:
            self._bus.publish(
                PortSeen(interface=port.interface, network=port.network, workload=port.workload)
            )
        self.effects.add(key.partition("/")[2], commit.planes_ms)

    def _remember_interface(self, before: Port | None, port: Port | None) -> None:
        if before is not None:
            self.by_interface.pop(before.interface, None)
        if port is not None:
            self.by_interface[port.interface] = port.key

    def _port_change(self, key: str, snapshot: Snapshot) -> Change:
        present, port = snapshot.ports.get(key), self._observe(key, snapshot)
        if port == present:
            return Change()
        if port is not None:
            return Change(put=(port,))
        return Change(delete=(present,) if present is not None else ())

    def _observe(self, key: str, snapshot: Snapshot) -> Port | None:
        connection, mirror = snapshot.connections.get(key), self._edge.mirror
        if connection is not None:
            attached = self._attached.get(key)
            port = made_port(connection, snapshot, mirror, attached.inside if attached else None)
            if port is not None:
                return port
        link = mirror.links.get(self.foreign.get(key, ""))
        network = bridge_network(link, snapshot, mirror) if link is not None else None
        if (
            link is None
            or network is None
            or not is_foreign(link)
            or not key.startswith(network.name + "/")
        ):
            self.foreign.pop(key, None)
            return None
        lease = snapshot.leases.get(key)
        return foreign_port(link, network, key.partition("/")[2], mirror, lease)

    # ---- behind a port --------------------------------------------------------------------------

    async def look_inside(self, key: str) -> bool:
        """Bring the workload's own end in order: address, link, default route."""
        snapshot = self._registry.snapshot
        connection = snapshot.connections.get(key)
        instance = snapshot.instances.get(key.partition("/")[2])
        if connection is None or instance is None or instance.namespace is None:
            return False
        if connection.kind != "container" or self._is_unattached(connection):
            return False
        await self._write_resolv_conf(instance)
        inside = await self._edge.inside(instance.namespace)
        end = end_inside(connection, inside)
        if end is None:  # it leads into a former life of this name
            await self._take_away(key)
            return await self.look_at(key)
        changed = await self._execute(
            plan_inside(connection, snapshot, inside, instance.namespace) or []
        )
        self._attached[key] = Attached(instance.identity, end.name)
        await self._publish(key)
        return changed

    async def forget_flows(self, ports: Iterable[Port]) -> None:
        """Delete the tracked connections of ports that are gone: nobody may inherit them."""
        flows = [Flow(either=port.address) for port in ports if port.address is not None]
        if flows:
            await self._edge.forget_flows(flows)

    # ---- resolv.conf ----------------------------------------------------------------------------

    async def _write_resolv_conf(self, instance: Instance) -> None:
        if instance.namespace is None or not self.resolver.enabled:
            return
        snapshot = self._registry.snapshot
        connections = snapshot.connections_of.get(instance.name, ())
        first = [each for each in connections if is_way_out(each, snapshot)] or connections[:1]
        for each in first:
            text = content(snapshot.networks[each.network].gateway, self.resolver.search_domains)
            await self._resolvers.write(instance, text)

    async def _remove_resolv_conf(self, workload: str) -> None:
        snapshot = self._registry.snapshot
        instance = snapshot.instances.get(workload)
        if instance is not None and instance.namespace and snapshot.connections_of.get(workload):
            return
        await self._resolvers.remove(workload, instance)
