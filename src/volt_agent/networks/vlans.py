"""VLANs as uplinks of bridges: what may be asked for, what is to be done, how it stands.

Plain functions. A parent that is not there (yet, or any more) is no error after the creation: the
kernel deletes a VLAN with its parent, and volt makes it anew when the parent is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..errors import Invalid, NotFound, Refused
from ..kernel.ops import AddVlan, DeleteLink, Op, SetLink
from ..kernel.state import Link, Mirror
from ..model.lookup import find, meant, shortened
from ..model.names import ALIAS_PREFIX, is_vlan_alias, vlan_alias, vlan_interface
from ..model.snapshot import Change, Snapshot
from ..model.vlan import Vlan
from .decide import find_network

# IEEE 802.1Q, table 9-2: 0 carries a priority only, 4095 is reserved.
ID_MIN, ID_MAX = 1, 4094
_LOOPBACK = "lo"

Status = Literal["up", "down", "missing"]


def create_vlan(
    snapshot: Snapshot, links: Mapping[str, Link], parent: str, number: int, network: str | None
) -> Change:
    """A VLAN of the host's interface `parent`, as an uplink of `network`.

    The same again changes nothing.
    """
    if not ID_MIN <= number <= ID_MAX:
        raise Invalid(f"VLAN id {number} is out of range", f"use {ID_MIN} to {ID_MAX}")
    if network is not None:
        find_network(snapshot, network)
    _check_parent(parent, links)
    vlan = Vlan(vlan_interface(parent, number), parent, number, network)
    present = snapshot.vlans.get(vlan.name)
    if present == vlan:
        return Change()
    if present is not None:
        on = f"an uplink of network {present.network}" if present.network else "no network's uplink"
        raise Refused(
            f"VLAN {number} of {parent} exists already and is {on}",
            f"volt net vlan delete {present.name} first",
        )
    _check_free(vlan, links)
    return Change(put=(vlan,))


def _check_parent(parent: str, links: Mapping[str, Link]) -> None:
    link = links.get(parent)
    if link is None:
        hosts_own = [name for name, each in links.items() if _may_carry(each)]
        raise NotFound(f"there is no interface {shortened(parent)}", meant(parent, hosts_own))
    if not _may_carry(link):
        reason = "is volt's own" if parent != _LOOPBACK else "carries no VLANs"
        raise Refused(f"{parent} {reason}", "give an interface of the host: ip -brief link")


def _may_carry(link: Link) -> bool:
    return link.name != _LOOPBACK and not link.alias.startswith(ALIAS_PREFIX)


def _check_free(vlan: Vlan, links: Mapping[str, Link]) -> None:
    parent = links[vlan.parent]
    for link in links.values():
        carries_it = link.vlan == vlan.id and link.lower == parent.index
        if (link.name == vlan.name or carries_it) and not _is_made(link, vlan):
            what = f"VLAN {vlan.id} of {vlan.parent}" if carries_it else "an interface"
            raise Refused(
                f"{what} exists already as {link.name}, and is not volt's",
                f"remove it where it was made, or for now: ip link delete {link.name}",
            )


def delete_vlan(snapshot: Snapshot, name: str) -> Change:
    """Without the VLAN whose device is `name`."""
    return Change(delete=(find("VLAN", name, snapshot.vlans),))


def plan_vlan(name: str, snapshot: Snapshot, mirror: Mirror) -> list[Op]:
    """What is missing to have the device as a port of its bridge, up as soon as its parent is; or
    to be rid of one of volt's that nobody wants any more."""
    vlan = snapshot.vlans.get(name)
    if vlan is None:
        link = mirror.links.get(name)
        is_stray = link is not None and is_vlan_alias(link.alias)
        return [DeleteLink(name=name)] if is_stray else []
    alias = vlan_alias(vlan.parent, vlan.id)
    ops: list[Op] = [
        DeleteLink(name=each) for each in mirror.with_alias(alias) if each != vlan.name
    ]
    parent, link = mirror.links.get(vlan.parent), mirror.links.get(name)
    if parent is None:
        return ops
    if link is not None and _is_made(link, vlan) and link.lower != parent.index:
        ops.append(DeleteLink(name=link.name))  # its parent was renamed, another bears the name
        link = None
    mtu = _mtu(vlan, snapshot, parent)
    if link is None or not _is_made(link, vlan):
        ops.append(AddVlan(name=vlan.name, parent=vlan.parent, id=vlan.id, mtu=mtu, alias=alias))
        link = Link(index=0, name=vlan.name, mtu=mtu)
    elif link.mtu != mtu:
        ops.append(SetLink(name=vlan.name, mtu=mtu))
    return ops + _enslave(vlan, link, snapshot, mirror) + _raise(link, parent)


def _mtu(vlan: Vlan, snapshot: Snapshot, parent: Link) -> int:
    """That of the network, or what the parent can carry of it."""
    network = snapshot.networks.get(vlan.network or "")
    return min(network.mtu, parent.mtu) if network is not None else parent.mtu


def _enslave(vlan: Vlan, link: Link, snapshot: Snapshot, mirror: Mirror) -> list[Op]:
    network = snapshot.networks.get(vlan.network or "")
    if network is None:
        return []  # somebody may use it otherwise: volt does not take it off anything
    bridge = mirror.links.get(network.bridge)
    if bridge is None or link.master == bridge.index:
        return []
    return [SetLink(name=vlan.name, master=network.bridge)]


def _raise(link: Link, parent: Link) -> list[Op]:
    # On a parent that is down the kernel refuses (ENETDOWN); whether that is up is its owner's
    # decision, and its message brings us back here.
    return [SetLink(name=link.name, up=True)] if parent.up and not link.up else []


def status_of(vlan: Vlan, snapshot: Snapshot, mirror: Mirror) -> tuple[Status, str | None]:
    """How it stands, and what is wrong in a sentence; None for nothing."""
    link, parent = mirror.links.get(vlan.name), mirror.links.get(vlan.parent)
    if parent is None:
        return "missing", f"there is no interface {vlan.parent} now"
    if link is None or not _is_made(link, vlan):
        return "missing", None
    if not parent.up:
        return "down", f"{vlan.parent} is down: ip link set {vlan.parent} up"
    if not parent.carrier:
        return "down", f"{vlan.parent} has no carrier: look at cable and switch"
    if _enslave(vlan, link, snapshot, mirror) or not link.up:
        return "down", None
    network = snapshot.networks.get(vlan.network or "")
    if network is not None and link.mtu < network.mtu:
        words = f"{vlan.parent} carries packets of {link.mtu} bytes only, {network.name} has an"
        return "up", f"{words} MTU of {network.mtu}"
    return "up", None


def _is_made(link: Link, vlan: Vlan) -> bool:
    return link.kind == "vlan" and link.alias == vlan_alias(vlan.parent, vlan.id)
