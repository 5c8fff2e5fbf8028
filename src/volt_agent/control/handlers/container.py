"""container.*"""

from __future__ import annotations

from ...bus import Bus
from ...errors import KernelRefused, VoltError
from ...events import WorkloadForgotten
from ...firewall.hits import Hits
from ...firewall.plane import Firewall
from ...kernel.edge import Edge
from ...kernel.state import Inside
from ...model.lookup import check_workload
from ...model.snapshot import Change, Snapshot
from ...networks.agenda import Rank, Target
from ...networks.lifecycle import forget
from ...networks.reconcile import Reconciler
from ...registry import Registry
from ...rules.concern import Subject, policies_about, rules_about
from ...rules.users import check_unnamed
from ..messages import container as messages
from ..messages.workload import Workload
from ..method import Nothing
from . import Handlers
from .firewall import rule_view
from .policy import policy_view
from .port import forward_view, in_port_order
from .views import networks_of, workload_names, workload_view


class ContainerHandlers:
    def __init__(
        self,
        registry: Registry,
        reconciler: Reconciler,
        edge: Edge,
        firewall: Firewall,
        bus: Bus,
        zone: str,
    ) -> None:
        self._registry, self._reconciler, self._edge = registry, reconciler, edge
        self._firewall, self._bus, self._zone = firewall, bus, zone

    def handlers(self) -> Handlers:
        return {
            "container.list": self.list_containers,
            "container.inspect": self.inspect,
            "container.forget": self.forget,
        }

    async def list_containers(self, params: Nothing) -> list[Workload]:
        snapshot = self._registry.snapshot
        found = (workload_view(name, snapshot) for name in workload_names(snapshot))
        return [each for each in found if each.kind == "container"]

    async def inspect(self, params: messages.WorkloadName) -> messages.WorkloadDetail:
        snapshot, name = self._registry.snapshot, params.name
        check_workload(snapshot, name)
        view, instance = workload_view(name, snapshot), snapshot.instances.get(name)
        namespace = instance.namespace if instance else None
        subject = Subject(name, networks_of(name, snapshot), snapshot.addresses_of(name))
        hits = await self._hits(snapshot)
        return messages.WorkloadDetail(
            name=view.name,
            kind=view.kind,
            runtime=view.runtime,
            state=view.state,
            networks=view.networks,
            inside={
                port.network: port.inside for port in snapshot.ports_of.get(name, ()) if port.inside
            },
            interfaces=await self._interfaces(namespace),
            names=self._names(name, snapshot),
            forwards=[
                forward_view(each, snapshot)
                for each in in_port_order(snapshot)
                if each.target == name
            ],
            policies=[
                policy_view(each, hits.policies.get(each.name))
                for each in policies_about(subject, snapshot)
            ],
            rules=[
                rule_view(each, hits.rules.get(each.name))
                for each in rules_about(subject, snapshot)
            ],
            namespace=_text(namespace) if namespace is not None else None,
            leader=instance.leader if instance else None,
            problems=[
                f"{target}: {reason}"
                for target, reason in self._reconciler.problems.items()
                if target.key.partition("/")[2] == name
            ],
        )

    async def forget(self, params: messages.WorkloadName) -> messages.ForgottenWorkload:
        def decide(snapshot: Snapshot) -> Change:
            change = forget(snapshot, params.name)
            check_unnamed(snapshot, "workload", params.name)
            return change

        commit = await self._registry.commit(decide)
        gone = commit.old.connections_of.get(params.name, ())
        await self._reconciler.settled(*(Target(Rank.PORT, each.key) for each in gone))
        self._bus.publish(WorkloadForgotten(workload=params.name))
        return messages.ForgottenWorkload(
            name=params.name, networks=[each.network for each in gone]
        )

    def _names(self, workload: str, snapshot: Snapshot) -> list[str]:
        ports = snapshot.ports_of.get(workload, ())
        there = [port.network for port in ports if port.up and port.address]
        qualified = [f"{workload}.{network}.{self._zone}" for network in there]
        return [workload, f"{workload}.{self._zone}", *qualified] if there else []

    async def _interfaces(self, namespace: str | None) -> list[messages.Interface]:
        """None where there is no namespace, or where it has just gone."""
        if namespace is None:
            return []
        try:
            return interface_views(await self._edge.inside(namespace))
        except KernelRefused:
            return []

    async def _hits(self, snapshot: Snapshot) -> Hits:
        """What was counted; nothing while the tables are gone."""
        try:
            return await self._firewall.hits(snapshot)
        except VoltError:
            return Hits()


def interface_views(inside: Inside) -> list[messages.Interface]:
    """The interfaces of a namespace in the kernel's order, loopback apart."""
    links = sorted(inside.links.values(), key=lambda link: link.index)
    return [
        messages.Interface(
            name=_text(link.name),
            mac=link.mac,
            up=link.up,
            addresses=sorted(map(str, inside.addresses.get(link.name, ()))),
        )
        for link in links
        if link.name != "lo"
    ]


def _text(name: str) -> str:
    """File names can hold bytes that are no UTF-8 (PEP 383), which JSON cannot carry."""
    return name.encode("utf-8", "backslashreplace").decode()
