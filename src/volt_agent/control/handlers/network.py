"""net.create ... net.status, net.bridge.*"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from ...bus import Bus
from ...events import NetworkCreated, NetworkDeleted, WorkloadConnected, WorkloadDisconnected
from ...kernel.edge import Edge
from ...model.network import Connection
from ...model.snapshot import Change, Snapshot
from ...networks.agenda import Rank, Target
from ...networks.decide import (
    Surroundings,
    connect,
    create_network,
    delete_network,
    disconnect,
    find_network,
)
from ...networks.reconcile import Reconciler
from ...networks.surroundings import surroundings
from ...registry import Commit, Registry
from ...rules.users import check_unnamed
from ..messages import network as messages
from ..method import Nothing
from . import Handlers
from .settle import settle
from .views import connection_view, member_view, members, network_view, network_views


class NetworkHandlers:
    """`defaults` holds the configured part of the surroundings; `status` makes net.status."""

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        reconciler: Reconciler,
        bus: Bus,
        defaults: Surroundings,
        status: Callable[[], Awaitable[messages.NetStatus]],
    ) -> None:
        self._registry, self._edge, self._reconciler = registry, edge, reconciler
        self._bus, self._defaults, self._status = bus, defaults, status

    def handlers(self) -> Handlers:
        return {
            "net.create": self.create,
            "net.delete": self.delete,
            "net.list": self.list,
            "net.inspect": self.inspect,
            "net.connect": self.connect,
            "net.disconnect": self.disconnect,
            "net.status": self.status,
            "net.bridge.create": self.create,
            "net.bridge.delete": self.delete,
            "net.bridge.list": self.list,
        }

    async def create(self, params: messages.CreateNetwork) -> messages.CreatedNetwork:
        around = await surroundings(self._defaults, self._edge)
        commit = await self._registry.commit(
            lambda snapshot: create_network(
                snapshot,
                around,
                params.name,
                params.subnet,
                params.nat,
                params.mtu,
                params.port_security,
            )
        )
        network = commit.new.networks[params.name]
        changed = not commit.change.is_empty
        if changed:
            await self._settle(commit, Target(Rank.NETWORK, network.name))
            self._bus.publish(
                NetworkCreated(
                    network=network.name, bridge=network.bridge, subnet=str(network.subnet)
                )
            )
        view = network_view(network, self._registry.snapshot, self._edge.mirror)
        return messages.CreatedNetwork(changed=changed, **_fields(view))

    async def _settle(self, commit: Commit, target: Target) -> None:
        await settle(self._registry, self._reconciler, commit, target)

    async def delete(self, params: messages.NetworkName) -> messages.DeletedNetwork:
        def decide(snapshot: Snapshot) -> Change:
            change = delete_network(snapshot, params.name, self._defaults.default_bridge)
            check_unnamed(snapshot, "network", params.name)
            return change

        commit = await self._registry.commit(decide)
        await self._reconciler.settled(Target(Rank.NETWORK, params.name))
        self._bus.publish(NetworkDeleted(network=params.name))
        return messages.DeletedNetwork(
            name=params.name, bridge=commit.old.networks[params.name].bridge
        )

    async def list(self, params: Nothing) -> list[messages.Network]:
        return network_views(self._registry.snapshot, self._edge.mirror)

    async def inspect(self, params: messages.NetworkName) -> messages.NetworkDetail:
        snapshot = self._registry.snapshot
        network = find_network(snapshot, params.name)
        problems = [
            f"{target}: {reason}"
            for target, reason in self._reconciler.problems.items()
            if target.key.partition("/")[0] == network.name
        ]
        return messages.NetworkDetail(
            workloads=[member_view(network, name, snapshot) for name in members(network, snapshot)],
            problems=problems,
            **_fields(network_view(network, snapshot, self._edge.mirror)),
        )

    async def connect(self, params: messages.Connect) -> messages.Connection:
        commit = await self._registry.commit(
            lambda snapshot: connect(
                snapshot,
                params.network,
                params.workload,
                params.ip,
                params.mac,
                params.kind,
                params.port_security,
            )
        )
        key = f"{params.network}/{params.workload}"
        connection = commit.new.connections[key]
        changed = not commit.change.is_empty
        if changed:
            await self._settle(commit, Target(Rank.PORT, key))
            self._bus.publish(
                WorkloadConnected(
                    workload=connection.workload,
                    network=connection.network,
                    address=str(connection.address),
                    interface=connection.interface,
                )
            )
        notes = _notes(commit.old.connections.get(key), connection, commit)
        return connection_view(connection, self._registry.snapshot, changed, notes)

    async def disconnect(self, params: messages.Disconnect) -> messages.Disconnected:
        commit = await self._registry.commit(
            lambda snapshot: disconnect(snapshot, params.workload, params.network, time.time())
        )
        gone = [each for each in commit.change.delete if isinstance(each, Connection)]
        await self._reconciler.settled(*(Target(Rank.PORT, each.key) for each in gone))
        for each in gone:
            self._bus.publish(WorkloadDisconnected(workload=each.workload, network=each.network))
        return messages.Disconnected(
            workload=params.workload, networks=[each.network for each in gone]
        )

    async def status(self, params: Nothing) -> messages.NetStatus:
        return await self._status()


def _notes(before: Connection | None, after: Connection, commit: Commit) -> list[str]:
    notes = []
    if before is not None and before.kind != after.kind:
        notes.append(f"the port of {after.workload} is a {_DEVICE[after.kind]} now")
    for each in commit.change.delete:
        if isinstance(each, Connection) and each.automatic and each.key != after.key:
            notes.append(f"it left {each.network}, which it had joined by itself")
    return notes


_DEVICE = {"vm": "tap for a virtual machine", "container": "veth for a container"}


def _fields(view: messages.Network) -> dict[str, Any]:
    return {name: getattr(view, name) for name in messages.Network.__struct_fields__}
