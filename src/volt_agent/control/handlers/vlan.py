"""net.vlan.*"""

from __future__ import annotations

from msgspec.structs import asdict

from ...kernel.edge import Edge
from ...model.names import vlan_interface
from ...model.snapshot import Change, Snapshot
from ...model.vlan import Vlan
from ...networks.agenda import Rank, Target
from ...networks.reconcile import Reconciler
from ...networks.vlans import create_vlan, delete_vlan, status_of
from ...registry import Registry
from ..messages import vlan as messages
from ..method import Nothing
from . import Handlers
from .settle import settle


class VlanHandlers:
    def __init__(self, registry: Registry, edge: Edge, reconciler: Reconciler) -> None:
        self._registry, self._edge, self._reconciler = registry, edge, reconciler

    def handlers(self) -> Handlers:
        return {
            "net.vlan.create": self.create,
            "net.vlan.delete": self.delete,
            "net.vlan.list": self.list,
        }

    async def create(self, params: messages.CreateVlan) -> messages.CreatedVlan:
        def decide(snapshot: Snapshot) -> Change:
            links = self._edge.mirror.links
            return create_vlan(snapshot, links, params.parent, params.id, params.network)

        commit = await self._registry.commit(decide)
        vlan = commit.new.vlans[vlan_interface(params.parent, params.id)]
        changed = not commit.change.is_empty
        if changed:
            target = Target(Rank.UPLINK, vlan.name)
            await settle(self._registry, self._reconciler, commit, target)
        return messages.CreatedVlan(changed=changed, **asdict(self._view(vlan)))

    async def delete(self, params: messages.VlanName) -> messages.DeletedVlan:
        await self._registry.commit(lambda snapshot: delete_vlan(snapshot, params.name))
        await self._reconciler.settled(Target(Rank.UPLINK, params.name))
        return messages.DeletedVlan(name=params.name)

    async def list(self, params: Nothing) -> list[messages.Vlan]:
        vlans = self._registry.snapshot.vlans.values()
        return [self._view(each) for each in sorted(vlans, key=lambda one: (one.parent, one.id))]

    def _view(self, vlan: Vlan) -> messages.Vlan:
        status, problem = status_of(vlan, self._registry.snapshot, self._edge.mirror)
        link = self._edge.mirror.links.get(vlan.name) if status != "missing" else None
        reason = self._reconciler.problems.get(Target(Rank.UPLINK, vlan.name))
        return messages.Vlan(
            name=vlan.name,
            parent=vlan.parent,
            id=vlan.id,
            network=vlan.network,
            mtu=link.mtu if link is not None else None,
            status=status,
            problem=problem or reason,
        )
