"""Gives workloads their resolv.conf, each where it looks for it."""

from __future__ import annotations

import asyncio
from pathlib import PurePath

from ..model.workload import Instance
from .machine_resolvconf import MachineResolvConf
from .resolvconf import ResolvConf


class Resolvers:
    """Named namespaces have theirs in /etc/netns, machines in their own file system."""

    def __init__(self, named: ResolvConf, machines: MachineResolvConf) -> None:
        self._named, self._machines = named, machines
        self._namespaces: dict[str, str] = {}  # workload -> the name of its namespace
        self._leaders: dict[str, int] = {}  # workload -> its first process

    async def write(self, instance: Instance, text: str) -> None:
        """Let `instance` resolve names as `text` says."""
        if instance.runtime == "netns" and instance.namespace is not None:
            await self._write_named(instance.name, PurePath(instance.namespace).name, text)
        elif instance.runtime == "machined" and instance.leader is not None:
            self._leaders[instance.name] = instance.leader
            await asyncio.to_thread(self._machines.write, instance.leader, text)

    async def remove(self, workload: str, instance: Instance | None) -> None:
        """Take it away again from a workload that has left its networks, or ended (None)."""
        leader = self._leaders.pop(workload, None)
        if instance is not None and instance.runtime == "machined":
            if instance.leader is not None:
                await asyncio.to_thread(self._machines.restore, instance.leader)
            return
        if leader is not None:
            self._machines.forget(leader)
        # Written before the last restart: then only the workload's name is known.
        name = self._namespaces.pop(workload, workload)
        if instance is not None and instance.namespace:
            name = PurePath(instance.namespace).name
        await asyncio.to_thread(self._named.remove, name)

    async def _write_named(self, workload: str, name: str, text: str) -> None:
        before = self._namespaces.get(workload, name)
        self._namespaces[workload] = name
        if before != name:
            await asyncio.to_thread(self._named.remove, before)
        await asyncio.to_thread(self._named.write, name, text)
