"""What an edge does: the same cases on the kernel and on the fake."""

from __future__ import annotations

import errno
from functools import partial
from ipaddress import IPv4Interface, IPv4Network

import pytest

from tests.kernel.samples import (
    ANYWHERE,
    GATEWAY,
    address,
    attach,
    bridge,
    bridge_up,
    tap,
    veth,
)
from tests.kernel.worlds import World, of_type, on_both_edges, until
from volt_agent.errors import KernelRefused
from volt_agent.events import InsideChanged, LinksChanged, SysctlChanged
from volt_agent.kernel.ops import (
    AddAddress,
    AddRoute,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    ReleasePort,
    SetLink,
    SetSysctl,
)
from volt_agent.kernel.state import Route


@on_both_edges
async def test_a_bridge_is_made_as_a_gateway_wants_it(world: World) -> None:
    """Down, with its MAC, MTU, alias and long name, without IPv6, handing frames to netfilter."""
    await world.edge.execute([bridge(mtu=1400, altname="volt-backend-with-a-long-name")])
    link = world.edge.mirror.links["volt-backend"]
    assert (link.kind, link.up, link.mtu, link.mac) == ("bridge", False, 1400, "02:00:00:00:00:01")
    assert (link.alias, link.altnames) == ("volt:backend", ("volt-backend-with-a-long-name",))
    assert (link.netfilter, link.localnet) == (True, True)
    for key, value in {
        "net/ipv6/conf/volt-backend/disable_ipv6": "1",
        "net/ipv4/conf/volt-backend/rp_filter": "1",
        "net/ipv4/conf/volt-backend/send_redirects": "0",
        "net/ipv4/conf/volt-backend/route_localnet": "1",
    }.items():
        assert await world.edge.read_sysctl(key) == value


@on_both_edges
async def test_what_was_begun_is_there_after_what_was_asked_later(world: World) -> None:
    """Also where nobody waits for it: who takes everything away has to see it."""
    begun = world.edge.begin([bridge()])
    await world.edge.execute([])
    assert begun.done()
    assert "volt-backend" in world.edge.mirror.links


@on_both_edges
async def test_attaching_a_container_reaches_both_ends(world: World) -> None:
    """The host sees the port on its bridge, the container its address and its default route."""
    namespace = world.add_namespace()
    await world.edge.execute([*bridge_up(), *attach(namespace)])
    port = world.edge.mirror.links["vc-1"]
    assert port.master == world.edge.mirror.links["volt-backend"].index
    assert (port.kind, port.up, port.alias) == ("veth", True, "volt:backend/1")
    assert port.hairpin
    assert world.edge.mirror.ports_of("volt-backend") == {"vc-1"}
    inside = await world.edge.inside(namespace)
    assert inside.links["lo"].up
    assert inside.links["eth0"].mac == "02:00:00:03:00:01"
    assert inside.addresses["eth0"] == {address(1)}
    assert Route(ANYWHERE, GATEWAY, "eth0") in inside.routes
    assert Route(IPv4Network("10.30.0.0/24"), None, "eth0") in inside.routes
    await until(lambda: world.edge.mirror.links["vc-1"].carrier, "the port has a carrier")
    await until(lambda: world.edge.mirror.links["volt-backend"].carrier, "so has the bridge")


@on_both_edges
async def test_doing_everything_twice_changes_nothing(world: World) -> None:
    """Each operation finds its work done, and succeeds."""
    namespace = world.add_namespace()
    ops = [
        *bridge_up(),
        bridge(altname="second-name"),
        *attach(namespace),
        tap(),
        SetLink(name="vt-1", up=True),
        SetSysctl(key="net.ipv4.ip_forward", value="1"),
    ]
    await world.edge.execute(ops)
    before = dict(world.edge.mirror.links)
    inside = await world.edge.inside(namespace)
    await world.edge.execute(ops)
    assert world.edge.mirror.links == before
    assert await world.edge.inside(namespace) == inside


@on_both_edges
async def test_deleting_what_is_gone_succeeds(world: World) -> None:
    """Links, addresses and routes that are not there are as good as deleted."""
    await world.edge.execute(bridge_up())
    await world.edge.execute(
        [
            DeleteLink(name="vc-1"),
            DeleteLink(name="vc-2"),
            DeleteAddress(name="volt-backend", address=IPv4Interface("10.99.0.1/24")),
            DeleteAddress(name="nothing", address=IPv4Interface("10.99.0.1/24")),
            DeleteRoute(name="volt-backend", destination=ANYWHERE, gateway=GATEWAY),
            DeleteRoute(name="nothing", destination=ANYWHERE, gateway=GATEWAY),
        ]
    )
    assert "volt-backend" in world.edge.mirror.links


@on_both_edges
async def test_a_drifted_port_is_brought_back(world: World) -> None:
    """AddVeth, AddTap and AddBridge on what they made earlier set everything right again."""
    namespace = world.add_namespace()
    await world.edge.execute([*bridge_up(), veth(namespace), tap()])
    before = dict(world.edge.mirror.links)
    world.by_hand(
        SetLink(name="vc-1", master="", mtu=1300),
        SetLink(name="vt-1", master="", mac="02:00:00:00:00:77"),
        SetLink(name="volt-backend", netfilter=False, localnet=False, mac="02:00:00:00:00:78"),
        SetLink(namespace=namespace, name="eth0", mtu=1300),
    )
    await world.edge.execute([bridge(), veth(namespace), tap()])
    assert world.edge.mirror.links == before
    assert (await world.edge.inside(namespace)).links["eth0"].mtu == 1500


@on_both_edges
async def test_links_change_one_property_at_a_time(world: World) -> None:
    """What a SetLink leaves out stays."""
    await world.edge.execute([*bridge_up(), tap()])
    mirror = world.edge.mirror
    before = mirror.links["vt-1"]
    await world.edge.execute([SetLink(name="vt-1", mtu=1400), SetLink(name="vt-1", alias="other")])
    after = mirror.links["vt-1"]
    assert (after.mtu, after.alias, after.up) == (1400, "other", False)
    assert (after.master, after.mac) == (before.master, before.mac)
    await world.edge.execute([SetLink(name="vt-1", master=""), SetLink(name="vt-1", up=True)])
    assert (mirror.links["vt-1"].master, mirror.links["vt-1"].up) == (0, True)
    assert mirror.ports_of("volt-backend") == frozenset()


@on_both_edges
async def test_ports_and_bridges_are_mended_for_forwards(world: World) -> None:
    """Those of an older agent lack what forwards to oneself and of 127.0.0.1 need."""
    namespace = world.add_namespace()
    await world.edge.execute([*bridge_up(), *attach(namespace), tap()])
    links = world.edge.mirror.links
    for is_on in (False, True):
        await world.edge.execute(
            [
                SetLink(name="volt-backend", localnet=is_on),
                SetLink(name="vc-1", hairpin=is_on),
                SetLink(name="vt-1", hairpin=is_on),
            ]
        )
        seen = links["volt-backend"].localnet, links["vc-1"].hairpin, links["vt-1"].hairpin
        assert seen == (is_on,) * 3
    await world.edge.execute([SetLink(name="vc-1", master="")])
    assert not links["vc-1"].hairpin


@on_both_edges
async def test_deleting_a_bridge_frees_its_ports(world: World) -> None:
    """Ports outlive their bridge."""
    await world.edge.execute([*bridge_up(), tap(), DeleteLink(name="volt-backend")])
    assert world.edge.mirror.links["vt-1"].master == 0
    assert "volt-backend" not in world.edge.mirror.links


@on_both_edges
async def test_a_port_is_taken_off_its_bridge_by_its_index(world: World) -> None:
    """And stays what it was; one that is gone already is no error."""
    await world.edge.execute([*bridge_up(), tap(), SetLink(name="vt-1", up=True)])
    port = world.edge.mirror.links["vt-1"]
    gone = ReleasePort(name="vt-9", index=999)
    await world.edge.execute([gone, ReleasePort(name="vt-1", index=port.index)])
    after = world.edge.mirror.links["vt-1"]
    assert (after.master, after.up, after.index) == (0, True, port.index)


@on_both_edges
async def test_many_links_are_deleted_in_one_call(world: World) -> None:
    """All of them go, whichever of them are there, and nothing else does."""
    namespace = world.add_namespace()
    await world.edge.execute(
        [*bridge_up(), *(tap(number) for number in range(20)), veth(namespace)]
    )
    doomed = [DeleteLink(name=f"vt-{number}") for number in range(25)]
    await world.edge.execute([*doomed, DeleteLink(name="vc-1")])
    assert set(world.edge.mirror.links) == {"lo", "volt-backend"}
    assert set((await world.edge.inside(namespace)).links) == {"lo"}


@on_both_edges
async def test_a_tap_waits_for_its_virtual_machine(world: World) -> None:
    """It is there and up, but has no carrier until somebody opens it."""
    await world.edge.execute([*bridge_up(), tap(), SetLink(name="vt-1", up=True)])
    link = world.edge.mirror.links["vt-1"]
    assert (link.kind, link.up, link.carrier) == ("tun", True, False)


@on_both_edges
async def test_a_namespace_that_ends_takes_its_ports_along(world: World) -> None:
    """The host's end of a veth vanishes with the container."""
    namespace = world.add_namespace()
    await world.edge.execute([*bridge_up(), *attach(namespace)])
    world.remove_namespace(namespace)
    await until(lambda: "vc-1" not in world.edge.mirror.links, "the port is gone")
    assert world.edge.mirror.ports_of("volt-backend") == frozenset()


@on_both_edges
async def test_one_namespace_may_have_several_ports(world: World) -> None:
    """Both ports know the namespace they lead into, and it is the same one."""
    namespace, other = world.add_namespace(), world.add_namespace()
    await world.edge.execute(
        [*bridge_up(), veth(namespace), veth(namespace, 2, peer="eth1"), veth(other, 3)]
    )
    links = world.edge.mirror.links
    assert links["vc-1"].nsid == links["vc-2"].nsid >= 0
    assert links["vc-3"].nsid not in (-1, links["vc-1"].nsid)
    world.events.clear()
    world.by_hand(SetLink(namespace=namespace, name="eth1", up=True))
    await until(
        lambda: (
            {each.interface for each in of_type(world.events, InsideChanged)} == {"vc-1", "vc-2"}
        ),
        "a change inside is told of both ports",
    )


@on_both_edges
async def test_changes_by_others_are_seen_and_told(world: World) -> None:
    """A link made, addressed and deleted by somebody else."""
    mirror = world.edge.mirror
    world.by_hand(*bridge_up())
    await until(lambda: mirror.addresses_of("volt-backend") != frozenset(), "the address is seen")
    assert mirror.addresses_of("volt-backend") == {IPv4Interface("10.30.0.1/24")}
    world.by_hand(
        DeleteAddress(name="volt-backend", address=IPv4Interface("10.30.0.1/24")),
        SetLink(name="volt-backend", up=False),
    )
    await until(lambda: not mirror.links["volt-backend"].up, "it is down")
    assert mirror.addresses_of("volt-backend") == frozenset()
    world.by_hand(DeleteLink(name="volt-backend"))
    await until(lambda: "volt-backend" not in mirror.links, "it is gone")
    told = of_type(world.events, LinksChanged)
    assert all("volt-backend" in each.names for each in told[1:])
    assert not any(each.resynced for each in told)


@on_both_edges
async def test_addresses_and_routes_come_and_go(world: World) -> None:
    """Of several addresses each is added and removed by itself; so are routes through gateways."""
    second = IPv4Interface("10.31.0.1/24")
    far = IPv4Network("192.168.0.0/16")
    await world.edge.execute(
        [
            *bridge_up(),
            AddAddress(name="volt-backend", address=second),
            AddRoute(name="volt-backend", destination=far, gateway=address(5).ip),
        ]
    )
    assert world.edge.mirror.addresses_of("volt-backend") == {address(0), second}
    assert Route(far, address(5).ip, "volt-backend") in await world.edge.routes()
    await world.edge.execute(
        [
            DeleteAddress(name="volt-backend", address=second),
            DeleteRoute(name="volt-backend", destination=far, gateway=address(5).ip),
        ]
    )
    assert world.edge.mirror.addresses_of("volt-backend") == {address(0)}
    assert {route.destination for route in await world.edge.routes()} == {
        IPv4Network("10.30.0.0/24")
    }


@on_both_edges
async def test_settings_are_read_written_and_watched(world: World) -> None:
    """Dots and slashes both work; a change by hand is told."""
    assert await world.edge.read_sysctl("net.ipv4.no_such_thing") is None
    await world.edge.execute([SetSysctl(key="net.ipv4.ip_forward", value="1")])
    assert await world.edge.read_sysctl("net/ipv4/ip_forward") == "1"
    world.events.clear()
    world.by_hand(SetSysctl(key="net.ipv4.ip_forward", value="0"))
    await until(
        lambda: "all" in {each.interface for each in of_type(world.events, SysctlChanged)},
        "the change is told",
    )


@on_both_edges
async def test_settings_of_an_interface_with_dots_in_its_name(world: World) -> None:
    """As in sysctl.d(5): whichever separator comes first separates."""
    await world.edge.execute([bridge("volt0.5")])
    await world.edge.execute([SetSysctl(key="net/ipv4/conf/volt0.5/rp_filter", value="0")])
    assert await world.edge.read_sysctl("net.ipv4.conf.volt0/5.rp_filter") == "0"


@on_both_edges
async def test_the_first_refusal_stops_the_rest(world: World) -> None:
    """What came before it is done and seen, what came after it is not."""
    await world.edge.execute(bridge_up())
    with pytest.raises(KernelRefused) as refusal:
        await world.edge.execute([tap(1), tap(2, master="nothing"), tap(3)])
    assert refusal.value.errno == errno.ENODEV
    assert set(world.edge.mirror.links) == {"lo", "volt-backend", "vt-1"}


@on_both_edges
async def test_looking_into_a_namespace_that_is_gone_is_refused(world: World) -> None:
    """ENOENT, so that the caller can tell an ended container from trouble."""
    await world.edge.execute(bridge_up())
    gone = "/run/netns/volt-never-was"
    for ask in (partial(world.edge.inside, gone), partial(world.edge.execute, attach(gone))):
        with pytest.raises(KernelRefused, match=f"{gone} is gone") as refusal:
            await ask()
        assert refusal.value.errno == errno.ENOENT
    assert "vc-1" not in world.edge.mirror.links
