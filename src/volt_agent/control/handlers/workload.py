"""ps, container.*"""

from __future__ import annotations

from ...bus import Bus
from ...events import WorkloadForgotten
from ...model.lookup import check_workload
from ...model.snapshot import Change, Snapshot
from ...networks.agenda import Rank, Target
from ...networks.lifecycle import forget
from ...networks.reconcile import Reconciler
from ...registry import Registry
from ...rules.users import check_unnamed
from ..messages import workload as messages
from ..method import Nothing
from . import Handlers
from .views import workload_names, workload_view


class WorkloadHandlers:
    def __init__(self, registry: Registry, reconciler: Reconciler, bus: Bus, zone: str) -> None:
        self._registry, self._reconciler, self._bus = registry, reconciler, bus
        self._zone = zone

    def handlers(self) -> Handlers:
        return {
            "ps": self.ps,
            "container.list": self.list_containers,
            "container.inspect": self.inspect,
            "container.forget": self.forget,
        }

    async def ps(self, params: Nothing) -> list[messages.Workload]:
        snapshot = self._registry.snapshot
        return [workload_view(name, snapshot) for name in workload_names(snapshot)]

    async def list_containers(self, params: Nothing) -> list[messages.Workload]:
        return [each for each in await self.ps(params) if each.kind == "container"]

    async def inspect(self, params: messages.WorkloadName) -> messages.WorkloadDetail:
        snapshot, name = self._registry.snapshot, params.name
        check_workload(snapshot, name)
        view, instance = workload_view(name, snapshot), snapshot.instances.get(name)
        ports = snapshot.ports_of.get(name, ())
        namespace = instance.namespace if instance else None
        if namespace is not None:
            # A file name can hold bytes that are no UTF-8 (PEP 383), which JSON cannot carry.
            namespace = namespace.encode("utf-8", "backslashreplace").decode()
        return messages.WorkloadDetail(
            name=view.name,
            kind=view.kind,
            runtime=view.runtime,
            state=view.state,
            networks=view.networks,
            inside={port.network: port.inside for port in ports if port.inside},
            names=self._names(name) if any(port.up and port.address for port in ports) else [],
            namespace=namespace,
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

    def _names(self, workload: str) -> list[str]:
        ports = self._registry.snapshot.ports_of.get(workload, ())
        there = [port.network for port in ports if port.up and port.address]
        qualified = [f"{workload}.{network}.{self._zone}" for network in there]
        return [workload, f"{workload}.{self._zone}", *qualified]
