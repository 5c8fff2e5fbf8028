"""Changes inside the namespaces behind the ports are noticed, and nobody can drown them out."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Interface

import pytest

from tests.kernel.samples import ANYWHERE, GATEWAY, address, attach, bridge_up, veth
from tests.kernel.worlds import LinuxWorld, of_type, on_linux, until
from volt_agent.bus import Bus
from volt_agent.events import Event, InsideChanged, LinksChanged
from volt_agent.kernel.inside_watch import PAUSE, InsideWatch
from volt_agent.kernel.ops import (
    AddAddress,
    DeleteAddress,
    DeleteRoute,
    Op,
    SetLink,
)

pytestmark = pytest.mark.kernel


def told(world: LinuxWorld) -> set[str]:
    return {each.interface for each in of_type(world.events, InsideChanged)}


def test_addresses_links_and_routes_inside_are_noticed() -> None:
    """Each of them, and for the port concerned only."""

    async def scenario(world: LinuxWorld) -> None:
        first, second = world.add_namespace(), world.add_namespace()
        await world.edge.execute([*bridge_up(), *attach(first, 1), *attach(second, 2)])
        changes: list[Op] = [
            DeleteRoute(namespace=first, name="eth0", destination=ANYWHERE, gateway=GATEWAY),
            DeleteAddress(namespace=first, name="eth0", address=address(1)),
            SetLink(namespace=first, name="eth0", up=False),
            SetLink(namespace=first, name="eth0", mtu=1400),
        ]
        for change in changes:
            await quiet(world)
            world.by_hand(change)
            await until(lambda: told(world) == {"vc-1"}, f"{change} is told")

    on_linux(scenario)


async def quiet(world: LinuxWorld) -> None:
    """Wait until nothing has been told for ten turns of the loop with a pause of the watch each."""
    turns = 0
    while turns < 10:
        world.events.clear()
        await asyncio.sleep(PAUSE)
        turns = 0 if world.events else turns + 1


def test_namespaces_found_at_the_start_are_heard() -> None:
    """A restarted agent has made none of these veths itself."""

    async def scenario(world: LinuxWorld) -> None:
        namespace = world.add_namespace()
        await world.edge.execute([*bridge_up(), *attach(namespace)])
        events: list[Event] = []
        bus = Bus()
        bus.subscribe(Event, events.append)
        watch = InsideWatch(bus, world.edge.mirror)
        watch.start()
        world.by_hand(SetLink(namespace=namespace, name="eth0", mtu=1400))
        await until(lambda: InsideChanged(interface="vc-1") in events, "the change is told")
        watch.close()

    on_linux(scenario)


def test_a_flood_inside_does_not_blind_the_host() -> None:
    """A namespace that makes messages without end is told of, and the host's are not lost."""

    async def scenario(world: LinuxWorld) -> None:
        namespace = world.add_namespace()
        await world.edge.execute([*bridge_up(), *attach(namespace)])
        world.events.clear()
        flood: list[Op] = []
        for number in range(1000):
            extra = IPv4Interface(f"10.77.{number >> 8}.{number & 255}/32")
            flood += [
                AddAddress(namespace=namespace, name="eth0", address=extra),
                DeleteAddress(namespace=namespace, name="eth0", address=extra),
            ]
        world.by_hand(*flood)
        world.by_hand(SetLink(name="vc-1", mtu=1400))
        await world.edge.settle()
        assert world.edge.mirror.links["vc-1"].mtu == 1400
        await until(lambda: told(world) == {"vc-1"}, "the flood is told")
        assert not any(each.resynced for each in of_type(world.events, LinksChanged))
        # Coalesced: one telling for hundreds of messages.
        assert len(of_type(world.events, InsideChanged)) < 100

    on_linux(scenario)


def test_lost_messages_raise_the_alarm_for_every_port() -> None:
    """Nobody knows which namespaces they came from."""

    async def scenario(world: LinuxWorld) -> None:
        spaces = [world.add_namespace() for _ in range(3)]
        for number, namespace in enumerate(spaces):
            await world.edge.execute([*bridge_up(), *attach(namespace, number)])
        events: list[Event] = []
        bus = Bus()
        bus.subscribe(Event, events.append)
        watch = InsideWatch(bus, world.edge.mirror, buffer=1)
        watch.start()
        world.by_hand(
            *(SetLink(namespace=spaces[0], name="eth0", mtu=1300 + n) for n in range(50)),
            *(SetLink(namespace=spaces[1], name="eth0", mtu=1300 + n) for n in range(50)),
        )
        await until(
            lambda: (
                {each.interface for each in of_type(events, InsideChanged)}
                == {"vc-0", "vc-1", "vc-2"}
            ),
            "all ports are told",
        )
        watch.close()

    on_linux(scenario)


def test_a_namespace_that_speaks_before_its_port_is_known_is_told_later() -> None:
    """The two sockets are not in step: what is inside may be heard first."""

    async def scenario(world: LinuxWorld) -> None:
        namespace = world.add_namespace()
        world.by_hand(*bridge_up(), veth(namespace))
        world.by_hand(SetLink(namespace=namespace, name="eth0", up=True))
        await until(lambda: told(world) == {"vc-1"}, "it is told")

    on_linux(scenario)
