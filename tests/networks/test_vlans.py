"""VLANs as uplinks: what may be asked for, and a parent that comes and goes under them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.networks.build import backend
from tests.networks.test_reconcile import Site, on_site
from volt_agent.errors import Invalid, NotFound, Refused, VoltError
from volt_agent.kernel.ops import DeleteLink, SetLink
from volt_agent.kernel.state import Link, Mirror
from volt_agent.model.names import INTERFACE_NAME_MAX, is_vlan_alias, vlan_alias, vlan_interface
from volt_agent.model.snapshot import Change
from volt_agent.model.vlan import Vlan
from volt_agent.networks.decide import delete_network
from volt_agent.networks.observe import connection_key, network_by_alias
from volt_agent.networks.vlans import create_vlan, delete_vlan, plan_vlan, status_of

CARD = Link(index=2, name="eth0", up=True, carrier=True)
LINKS = {"lo": Link(index=1, name="lo"), "eth0": CARD}
WANTED = Vlan("eth0.100", "eth0", 100, "backend")


def test_create_and_again() -> None:
    """The device is called PARENT.ID; repeating the command changes nothing."""
    snapshot = backend()
    change = create_vlan(snapshot, LINKS, "eth0", 100, "backend")
    assert change.put == (WANTED,)
    assert create_vlan(snapshot.apply(change), LINKS, "eth0", 100, "backend").is_empty


@pytest.mark.parametrize("number", [-1, 0, 4095, 70000])
def test_an_id_that_is_none(number: int) -> None:
    """0 and 4095 are reserved (IEEE 802.1Q)."""
    with pytest.raises(Invalid, match=f"VLAN id {number} is out of range"):
        create_vlan(backend(), LINKS, "eth0", number, None)


@pytest.mark.parametrize(
    ("parent", "network", "error", "says"),
    [
        ("eth9", None, NotFound, "there is no interface eth9"),
        ("lo", None, Refused, "lo carries no VLANs"),
        ("volt-backend", None, Refused, "volt-backend is volt's own"),
        ("eth0", "front", NotFound, "there is no network front"),
    ],
)
def test_what_cannot_be(
    parent: str, network: str | None, error: type[VoltError], says: str
) -> None:
    """One clear sentence each."""
    bridge = Link(index=9, name="volt-backend", kind="bridge", alias="volt:backend")
    with pytest.raises(error, match=says):
        create_vlan(backend(), {**LINKS, bridge.name: bridge}, parent, 100, network)


def test_a_taken_id() -> None:
    """By volt for another network, by a device under any name, or by a device of the name."""
    snapshot = backend().apply(Change(put=(WANTED,)))
    with pytest.raises(Refused, match="exists already and is an uplink of network backend"):
        create_vlan(snapshot, LINKS, "eth0", 100, None)
    theirs = Link(index=7, name="dmz", kind="vlan", lower=2, vlan=100)
    with pytest.raises(Refused, match="VLAN 100 of eth0 exists already as dmz"):
        create_vlan(backend(), {**LINKS, "dmz": theirs}, "eth0", 100, None)
    dummy = Link(index=8, name="eth0.100", kind="dummy")
    with pytest.raises(Refused, match=r"an interface exists already as eth0\.100"):
        create_vlan(backend(), {**LINKS, "eth0.100": dummy}, "eth0", 100, None)


def test_long_parents_get_a_stable_name() -> None:
    """An interface name has 15 characters."""
    name = vlan_interface("enp129s0f1np1", 4094)
    assert len(name) <= INTERFACE_NAME_MAX
    assert name.startswith("vlan4094-")
    assert name == vlan_interface("enp129s0f1np1", 4094)
    assert name != vlan_interface("enp129s0f0np0", 4094)


def test_the_alias_is_that_of_nothing_else() -> None:
    """Neither a port nor a bridge of volt's can be taken for a VLAN, nor the other way."""
    alias = vlan_alias("eth0", 100)
    assert is_vlan_alias(alias)
    assert connection_key(Link(index=5, name="x", alias=alias)) is None
    assert network_by_alias(Link(index=5, name="x", kind="bridge", alias=alias)) is None
    assert not is_vlan_alias("volt:vlan/web")
    assert not is_vlan_alias("volt:vlan")


def test_a_network_in_use_stays() -> None:
    """The refusal names the VLAN and how to delete it."""
    snapshot = backend().apply(Change(put=(WANTED,)))
    with pytest.raises(Refused, match=r"eth0\.100 is an uplink of network backend") as raised:
        delete_network(snapshot, "backend", "volt0")
    assert raised.value.hint == "volt net vlan delete eth0.100"
    with pytest.raises(NotFound, match="there is no VLAN eth1"):
        delete_vlan(snapshot, "eth1")


def test_a_parent_that_was_renamed() -> None:
    """The device on the old one goes, and a new one is made on the one that has the name now."""
    snapshot = backend().apply(Change(put=(WANTED,)))
    mirror = Mirror()
    made = Link(index=5, name="eth0.100", kind="vlan", lower=3, alias=vlan_alias("eth0", 100))
    for each in (CARD, Link(index=3, name="old"), made):
        mirror.put_link(each)
    assert plan_vlan("eth0.100", snapshot, mirror)[0] == DeleteLink(name="eth0.100")


def test_an_uplink_from_beginning_to_end(tmp_path: Path) -> None:
    """Made as a port of the bridge, repaired, made anew with its parent, and gone at the end."""

    async def scenario(site: Site) -> None:
        kernel, mirror = site.edge.kernel.own, site.edge.mirror
        card = kernel.add(Link(index=0, name="eth0", mac="02:00:00:00:00:77"))
        site.edge.by_hand(SetLink(name="eth0", up=True))
        await site.commit(lambda s: create_vlan(s, mirror.links, "eth0", 100, "backend"))
        await site.settle()
        link = mirror.links["eth0.100"]
        assert (link.lower, link.vlan, link.up) == (card.index, 100, True)
        assert link.master == mirror.links["volt-backend"].index
        assert status_of(WANTED, site.registry.snapshot, mirror) == ("up", None)

        site.edge.by_hand(SetLink(name="eth0.100", master=""))
        await site.settle()
        assert mirror.links["eth0.100"].master == link.master
        assert "VLAN eth0.100" in site.repaired()

        site.edge.by_hand(SetLink(name="eth0", up=False))
        await site.settle()
        status, problem = status_of(WANTED, site.registry.snapshot, mirror)
        assert (status, problem) == ("down", "eth0 is down: ip link set eth0 up")

        site.edge.by_hand(DeleteLink(name="eth0"))
        await site.settle()
        assert "eth0.100" not in mirror.links
        assert status_of(WANTED, site.registry.snapshot, mirror)[0] == "missing"
        card = kernel.add(Link(index=0, name="eth0", mac="02:00:00:00:00:77"))
        site.edge.by_hand(SetLink(name="eth0", up=True))
        await site.settle()
        assert mirror.links["eth0.100"].lower == card.index
        assert status_of(WANTED, site.registry.snapshot, mirror) == ("up", None)

        await site.commit(lambda s: delete_vlan(s, "eth0.100"))
        await site.settle()
        assert "eth0.100" not in mirror.links

    on_site(tmp_path, scenario)


def test_what_nobody_wants_goes_at_the_start(tmp_path: Path) -> None:
    """The agent died between the deletion and the kernel."""

    async def scenario(site: Site) -> None:
        kernel = site.edge.kernel.own
        card = kernel.add(Link(index=0, name="eth0", mac="02:00:00:00:00:77"))
        left = Link(index=0, name="eth0.7", kind="vlan", lower=card.index, mac=card.mac)
        kernel.add(replace(left, vlan=7, alias=vlan_alias("eth0", 7)))
        site.edge.by_hand()
        site.reconciler.mark_all()
        await site.settle()
        assert "eth0.7" not in site.edge.mirror.links

    on_site(tmp_path, scenario)
