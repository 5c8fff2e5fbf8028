"""Starts and stops become commits, in the order in which they happened."""

from __future__ import annotations

import asyncio
import time

from tests.networks.build import AROUND
from volt_agent.bus import Bus
from volt_agent.events import Event, InstanceStarted, InstanceStopped, WorkloadStopped
from volt_agent.model.workload import Instance
from volt_agent.networks.decide import create_network
from volt_agent.networks.effects import Effects
from volt_agent.registry import Registry
from volt_agent.runtimes.lifecycle import Lifecycle
from volt_agent.store import MemoryStore


class Host:
    """A registry and what feeds it; nothing joins a network by itself."""

    def __init__(self) -> None:
        self.bus, self.registry, self.events = Bus(), Registry(MemoryStore()), list[Event]()
        self.bus.subscribe(WorkloadStopped, self.events.append)
        effects = Effects(self.bus)
        self.lifecycle = Lifecycle(self.registry, self.bus, effects, lambda: (), "volt0")

    def start(self, name: str, identity: str) -> Instance:
        instance = Instance(name, "container", "netns", identity, f"/run/netns/{name}")
        self.bus.publish(InstanceStarted(instance=instance, at=time.monotonic()))
        return instance

    def stop(self, instance: Instance) -> None:
        self.bus.publish(InstanceStopped(instance=instance, at=time.monotonic()))

    @property
    def running(self) -> dict[str, str]:
        instances = self.registry.snapshot.instances
        return {name: each.identity for name, each in instances.items()}


def test_a_start_is_known_before_the_loop_turns() -> None:
    """The stop as well, once what the store has to know of the start is written."""

    async def scenario() -> None:
        host = Host()
        await host.registry.open()
        work = asyncio.create_task(host.lifecycle.run())
        web = host.start("web", "1")
        assert host.running == {"web": "1"}
        await host.lifecycle.settled()
        assert host.registry.snapshot.workloads.keys() == {"web"}
        host.stop(web)
        assert host.running == {}
        await host.lifecycle.settled()
        assert [type(each) for each in host.events] == [WorkloadStopped]
        work.cancel()

    asyncio.run(scenario())


def test_what_comes_while_a_commit_is_under_way_keeps_its_order() -> None:
    """The last life counts, and nothing of the one before it is left."""

    async def scenario() -> None:
        host = Host()
        await host.registry.open()
        work = asyncio.create_task(host.lifecycle.run())
        first = asyncio.create_task(
            host.registry.commit(lambda snapshot: create_network(snapshot, AROUND, "backend"))
        )
        await asyncio.sleep(0)
        old = host.start("web", "1")
        host.stop(old)
        host.start("web", "2")
        await host.lifecycle.settled()
        await first
        assert host.running == {"web": "2"}
        work.cancel()

    asyncio.run(scenario())
