"""What the kernel refuses, the fake refuses too, with the same errno and in one line."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from tests.kernel.samples import (
    ANYWHERE,
    address,
    attach,
    bridge,
    bridge_up,
    tap,
    veth,
)
from tests.kernel.worlds import Scenario, World, on_fake, on_linux
from volt_agent.errors import KernelRefused
from volt_agent.kernel.ops import (
    AddAddress,
    AddRoute,
    DeleteLink,
    Op,
    SetLink,
    SetSysctl,
)

BRIDGE = "volt-backend"
FAR = IPv4Network("192.168.0.0/16")


def route(destination: IPv4Network, gateway: str, **where: Any) -> AddRoute:
    values: dict[str, Any] = {"name": BRIDGE} | where
    return AddRoute(destination=destination, gateway=IPv4Address(gateway), **values)


# What is asked on top of a bridge that is up (10.30.0.1/24) and a container attached as vc-1;
# the errno; words of the message.
CASES: dict[str, tuple[Callable[[str], Sequence[Op]], int, str]] = {
    "bridge under a name of nothing": (lambda ns: [bridge("")], errno.EINVAL, "bridge"),
    "bridge name of 16 bytes": (lambda ns: [bridge("x" * 16)], errno.EINVAL, "no interface name"),
    "bridge name with a space": (lambda ns: [bridge("a b")], errno.EINVAL, "no interface name"),
    "bridge name with a slash": (lambda ns: [bridge("../x")], errno.EINVAL, "no interface name"),
    "bridge name that is a pattern": (lambda ns: [bridge("volt%d")], errno.EINVAL, "'volt%d'"),
    "bridge name ..": (lambda ns: [bridge("..")], errno.EINVAL, "no interface name"),
    "bridge in place of another": (
        lambda ns: [bridge(alias="volt:other")],
        errno.EEXIST,
        "cannot create bridge volt-backend: there is another volt-backend already",
    ),
    "bridge in place of a port": (lambda ns: [bridge("vc-1")], errno.EEXIST, "(veth, volt:"),
    "bridge whose long name is taken": (
        lambda ns: [bridge("volt-b", alias="volt:b", altname="vc-1")],
        errno.EEXIST,
        "create bridge volt-b",
    ),
    "bridge with a multicast MAC": (
        lambda ns: [bridge("volt-b", mac="03:00:00:00:00:01")],
        errno.EADDRNOTAVAIL,
        "MAC address",
    ),
    "bridge with too small an MTU": (lambda ns: [bridge("volt-b", mtu=67)], errno.EINVAL, "volt-b"),
    "bridge with too large an MTU": (
        lambda ns: [bridge("volt-b", mtu=65536)],
        errno.EINVAL,
        "volt-b",
    ),
    "veth whose inner name is taken": (
        lambda ns: [veth(ns, 2)],
        errno.EEXIST,
        "cannot attach vc-2 to volt-backend: eth0 is there already in ",
    ),
    "veth in place of a bridge": (
        lambda ns: [veth(ns, 2, name=BRIDGE, peer="eth1")],
        errno.EEXIST,
        "(bridge, volt:backend)",
    ),
    "veth that leads elsewhere": (
        lambda ns: [veth(ns, 1, peer="eth7")],
        errno.EEXIST,
        "leads elsewhere",
    ),
    "veth of somebody else": (lambda ns: [veth(ns, 1, alias="x")], errno.EEXIST, "another vc-1"),
    "veth without a bridge": (
        lambda ns: [veth(ns, 2, master="volt-none")],
        errno.ENODEV,
        "there is no interface volt-none",
    ),
    "veth on something that is no bridge": (
        lambda ns: [veth(ns, 2, master="lo", peer="eth1")],
        errno.EOPNOTSUPP,
        "vc-2",
    ),
    "veth with a bad inner name": (lambda ns: [veth(ns, 2, peer="a/b")], errno.EINVAL, "'a/b'"),
    "veth with a bad MAC inside": (
        lambda ns: [veth(ns, 2, peer="eth1", peer_mac="03:00:00:00:00:00")],
        errno.EADDRNOTAVAIL,
        "vc-2",
    ),
    "veth with a bad MTU": (lambda ns: [veth(ns, 2, peer="eth1", mtu=66000)], errno.EINVAL, "vc-2"),
    "tap without a bridge": (lambda ns: [tap(master="volt-none")], errno.ENODEV, "volt-none"),
    "tap in place of a veth": (lambda ns: [tap(name="vc-1")], errno.EEXIST, "(veth, volt:"),
    "tap with a bad name": (lambda ns: [tap(name="vt 1")], errno.EINVAL, "'vt 1'"),
    "change of nothing": (lambda ns: [SetLink(name="none", up=True)], errno.ENODEV, "change none"),
    "bridge as a port": (
        lambda ns: [bridge("volt-b", alias="b"), SetLink(name="volt-b", master=BRIDGE)],
        errno.ELOOP,
        "change volt-b",
    ),
    "port of a veth": (
        lambda ns: [tap(), SetLink(name="vt-1", master="vc-1")],
        errno.EOPNOTSUPP,
        "change vt-1",
    ),
    "loopback as a port": (
        lambda ns: [SetLink(name="lo", master=BRIDGE)],
        errno.EINVAL,
        "change lo",
    ),
    "netfilter on a port": (
        lambda ns: [SetLink(name="vc-1", netfilter=True)],
        errno.EOPNOTSUPP,
        "change vc-1",
    ),
    "hairpin on no port": (
        lambda ns: [SetLink(name=BRIDGE, hairpin=True)],
        errno.EOPNOTSUPP,
        "change volt-backend",
    ),
    "deleting the loopback interface": (
        lambda ns: [DeleteLink(name="lo")],
        errno.EOPNOTSUPP,
        "delete lo",
    ),
    "deleting it among others": (
        lambda ns: [DeleteLink(name="lo"), DeleteLink(name="none")],
        errno.EOPNOTSUPP,
        "delete lo",
    ),
    "address on nothing": (
        lambda ns: [AddAddress(name="none", address=address(3))],
        errno.ENODEV,
        "cannot add 10.30.0.4/24 to none: there is no interface none",
    ),
    "another default route": (
        lambda ns: [
            AddAddress(namespace=ns, name="eth0", address=IPv4Interface("10.31.0.2/24")),
            route(ANYWHERE, "10.31.0.1", namespace=ns, name="eth0"),
        ],
        errno.EEXIST,
        "there is one already",
    ),
    "route through a stranger": (
        lambda ns: [route(FAR, "10.99.0.1")],
        errno.ENETUNREACH,
        "gateway",
    ),
    "route on a link that is down": (
        lambda ns: [SetLink(name=BRIDGE, up=False), route(FAR, "10.30.0.9")],
        errno.ENETUNREACH,
        "192.168.0.0/16 through 10.30.0.9",
    ),
    "route on nothing": (lambda ns: [route(FAR, "10.30.0.9", name="none")], errno.ENODEV, "none"),
    "unknown setting": (
        lambda ns: [SetSysctl(key="net.ipv4.nothing", value="1")],
        errno.ENOENT,
        "cannot set net.ipv4.nothing to 1: there is no such setting",
    ),
    "setting that is no number": (
        lambda ns: [SetSysctl(key="net.ipv4.ip_forward", value="maybe")],
        errno.EINVAL,
        "ip_forward",
    ),
    "setting outside net": (
        lambda ns: [SetSysctl(key="kernel.core_pattern", value="1")],
        errno.EINVAL,
        "keys begin with net.",
    ),
    "setting by a way out": (
        lambda ns: [SetSysctl(key="net/../kernel/core_pattern", value="1")],
        errno.EINVAL,
        "malformed key",
    ),
    "setting of two lines": (
        lambda ns: [SetSysctl(key="net.ipv4.ip_forward", value="1\n1")],
        errno.EINVAL,
        "malformed value",
    ),
    "work in a namespace that is gone": (
        lambda ns: [SetLink(namespace="/run/netns/volt-none", name="lo", up=True)],
        errno.ENOENT,
        "/run/netns/volt-none is gone",
    ),
}


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(on_linux, marks=pytest.mark.kernel, id="linux"),
        pytest.param(on_fake, id="fake"),
    ],
)
@pytest.mark.parametrize("case", CASES)
def test_refusal(case: str, play: Callable[[Scenario], None]) -> None:
    """The errno, the operation and the reason are told in one line; nothing half-made stays."""
    ask, number, words = CASES[case]

    async def scenario(world: World) -> None:
        namespace = world.add_namespace()
        await world.edge.execute([*bridge_up(), *attach(namespace)])
        ops = ask(namespace)
        before = set(world.edge.mirror.links)
        with pytest.raises(KernelRefused) as refusal:
            await world.edge.execute(ops)
        assert errno.errorcode[refusal.value.errno] == errno.errorcode[number]
        assert refusal.value.message.startswith("cannot ")
        assert words in refusal.value.message
        assert "\n" not in refusal.value.message
        made = {op.name for op in ops[:-1] if isinstance(op, type(bridge()) | type(tap()))}
        assert set(world.edge.mirror.links) - before == made
        assert set((await world.edge.inside(namespace)).links) == {"lo", "eth0"}

    play(scenario)


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(on_linux, marks=pytest.mark.kernel, id="linux"),
        pytest.param(on_fake, id="fake"),
    ],
)
def test_a_bridge_has_1023_ports(play: Callable[[Scenario], None]) -> None:
    """One more is refused, as a tap, as a veth and as a link that is there; nothing stays."""

    async def scenario(world: World) -> None:
        namespace = world.add_namespace()
        await world.edge.execute([*bridge_up(), veth(namespace)])
        await world.edge.execute([SetLink(name="vc-1", master="")])
        await world.edge.execute([tap(number) for number in range(1023)])
        for op in (
            tap(1023),
            veth(namespace, 2, peer="eth1"),
            SetLink(name="vc-1", master=BRIDGE),
        ):
            with pytest.raises(KernelRefused) as refusal:
                await world.edge.execute([op])
            assert refusal.value.errno == errno.EXFULL
            assert "the bridge has 1023 ports, the kernel's limit" in refusal.value.message
            assert refusal.value.hint == "spread the workloads over several networks"
        assert len(world.edge.mirror.ports_of(BRIDGE)) == 1023
        assert {"vt-1023", "vc-2"}.isdisjoint(world.edge.mirror.links)

    play(scenario)
