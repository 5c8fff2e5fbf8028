"""What only the fake can do: virtual machines, strangers' ports, refusals on demand."""

from __future__ import annotations

import errno

import pytest

from tests.kernel.samples import attach, bridge_up, tap
from tests.kernel.worlds import FakeWorld, of_type, on_fake
from volt_agent.errors import KernelRefused
from volt_agent.events import LinksChanged
from volt_agent.kernel.ops import AddTap, SetLink


def test_a_virtual_machine_is_the_carrier_of_its_tap() -> None:
    """And of the bridge, if it is the only port."""

    async def scenario(world: FakeWorld) -> None:
        await world.edge.execute([*bridge_up(), tap(), SetLink(name="vt-1", up=True)])
        links = world.edge.mirror.links
        assert not links["volt-backend"].carrier
        world.edge.set_carrier("vt-1", True)
        assert links["vt-1"].carrier
        assert links["volt-backend"].carrier
        world.edge.set_carrier("vt-1", False)
        assert not links["volt-backend"].carrier

    on_fake(scenario)


def test_a_strangers_port_is_seen_with_its_long_name() -> None:
    """As systemd-nspawn plugs one in."""

    async def scenario(world: FakeWorld) -> None:
        await world.edge.execute(bridge_up())
        world.events.clear()
        world.edge.plug("vb-web-fronroEl", "volt-backend", altname="vb-web-frontend")
        link = world.edge.mirror.links["vb-web-fronroEl"]
        assert (link.up, link.carrier, link.altnames) == (True, True, ("vb-web-frontend",))
        assert world.edge.mirror.ports_of("volt-backend") == {"vb-web-fronroEl"}
        assert of_type(world.events, LinksChanged) == [
            LinksChanged(names=frozenset({"vb-web-fronroEl", "volt-backend"}))
        ]

    on_fake(scenario)


def test_refusals_on_demand_come_once() -> None:
    """What came before stays, what comes after is not done, the next attempt succeeds."""

    async def scenario(world: FakeWorld) -> None:
        await world.edge.execute(bridge_up())
        world.edge.refuse(AddTap, errno.EPERM)
        ops = [tap(), SetLink(name="vt-1", up=True)]
        with pytest.raises(KernelRefused) as refusal:
            await world.edge.execute(ops)
        assert refusal.value.errno == errno.EPERM
        assert refusal.value.hint is not None
        assert "CAP_NET_ADMIN" in refusal.value.hint
        assert "vt-1" not in world.edge.mirror.links
        await world.edge.execute(ops)
        assert world.edge.mirror.links["vt-1"].up

    on_fake(scenario)


def test_what_was_carried_out_is_on_record() -> None:
    """In order, for tests of planners; not what others did by hand."""

    async def scenario(world: FakeWorld) -> None:
        namespace = world.add_namespace()
        ops = [*bridge_up(), *attach(namespace)]
        await world.edge.execute(ops)
        world.by_hand(SetLink(name="vc-1", up=False))
        assert world.edge.carried_out == ops
        assert not world.edge.mirror.links["vc-1"].up
        assert repr(world.edge) == "<FakeEdge [3 links]>"

    on_fake(scenario)
