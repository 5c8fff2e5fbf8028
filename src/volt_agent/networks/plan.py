"""What is to be asked of the kernel: plain functions that compare what is wanted with what is seen.

Each returns the operations that close the difference, none when all is right. They are called again
and again (level-triggered): after a change, after a foreign hand's work, after a restart.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from ..kernel.ops import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddTap,
    AddVeth,
    DeleteLink,
    Op,
    SetLink,
    SetNeighbour,
)
from ..kernel.state import Inside, Link, Mirror
from ..model.names import bridge_alias, bridge_interface, port_alias, stable_mac
from ..model.network import Connection, Network
from ..model.snapshot import Snapshot

ANYWHERE = IPv4Network("0.0.0.0/0")


def plan_bridge(network: Network, mirror: Mirror, netfilter: bool) -> list[Op]:
    """A bridge that is up, with the gateway's address, hands its frames to netfilter and lets
    forwards of 127.0.0.1 through.

    `netfilter` False: the kernel has no br_netfilter, do not ask for it.
    """
    link, name = mirror.links.get(network.bridge), network.bridge
    ops = _strays(bridge_alias(network.name), name, mirror)
    if link is None or link.kind != "bridge":
        ops.append(_new_bridge(network))
    else:
        ops += _mend_link(link, network.mtu, bridge_alias(network.name))
        if netfilter and not link.netfilter:
            ops.append(SetLink(name=name, netfilter=True))
        if not link.localnet:
            ops.append(SetLink(name=name, localnet=True))
    address = IPv4Interface((network.gateway, network.subnet.prefixlen))
    if address not in mirror.addresses_of(name):
        ops.append(AddAddress(name=name, address=address))
    if link is None or not link.up:
        ops.append(SetLink(name=name, up=True))
    return ops


def _strays(alias: str, name: str, mirror: Mirror) -> list[Op]:
    """Without what bears `alias` under another name: rules know a link by its name only.

    Somebody renamed it, and neither guard nor policy would meet what it brings in.
    """
    return [DeleteLink(name=each) for each in mirror.with_alias(alias) if each != name]


def _new_bridge(network: Network) -> AddBridge:
    full = bridge_interface(network.name) != "volt-" + network.name
    return AddBridge(
        name=network.bridge,
        mac=stable_mac("bridge", network.name),
        mtu=network.mtu,
        alias=bridge_alias(network.name),
        altname="volt-" + network.name if full and network.bridge != network.name else None,
    )


def _mend_link(link: Link, mtu: int, alias: str) -> list[Op]:
    ops: list[Op] = []
    if link.mtu != mtu:
        ops.append(SetLink(name=link.name, mtu=mtu))
    if link.alias != alias:
        ops.append(SetLink(name=link.name, alias=alias))
    return ops


def plan_tap(connection: Connection, network: Network, mirror: Mirror) -> list[Op]:
    """A persistent tap on the bridge, whether its virtual machine runs or not."""
    link, name = mirror.links.get(connection.interface), connection.interface
    alias = port_alias(connection.network, connection.workload)
    ops = _strays(alias, name, mirror)
    if link is None:
        mac = stable_mac("port", connection.key)
        tap = AddTap(name=name, master=network.bridge, alias=alias, mtu=network.mtu, mac=mac)
        return [*ops, tap, SetLink(name=name, up=True)]
    return [*ops, *_mend_port(link, network, mirror, alias)]


def _mend_port(link: Link, network: Network, mirror: Mirror, alias: str) -> list[Op]:
    ops = _mend_link(link, network.mtu, alias)
    bridge = mirror.links.get(network.bridge)
    is_elsewhere = bridge is not None and link.master != bridge.index
    if is_elsewhere:
        ops.append(SetLink(name=link.name, master=network.bridge))
    if is_elsewhere or not link.hairpin:  # a port that changes its bridge begins without
        ops.append(SetLink(name=link.name, hairpin=True))
    if not link.up:
        ops.append(SetLink(name=link.name, up=True))
    return ops


def plan_veth(
    connection: Connection, snapshot: Snapshot, mirror: Mirror, namespace: str, inside_name: str
) -> list[Op]:
    """A veth from the bridge into `namespace`, with everything that belongs inside it.

    An existing one is only mended on the host's side; `plan_inside` sees to the other.
    """
    network = snapshot.networks[connection.network]
    alias = port_alias(connection.network, connection.workload)
    link = mirror.links.get(connection.interface)
    ops = _strays(alias, connection.interface, mirror)
    if link is not None and link.alias == alias:
        return [*ops, *_mend_port(link, network, mirror, alias)]
    if link is not None:  # a leftover or a stranger under the name that is ours by contract
        ops.append(DeleteLink(name=link.name))
    ops.append(
        AddVeth(
            name=connection.interface,
            master=network.bridge,
            alias=alias,
            mtu=network.mtu,
            mac=stable_mac("port", connection.key),
            peer=inside_name,
            peer_mac=connection.mac,
            peer_namespace=namespace,
        )
    )
    ops += _furnish(connection, snapshot, namespace, inside_name)
    ops.append(SetLink(name=connection.interface, up=True))
    return ops


def plan_greeting(connection: Connection, network: Network, mirror: Mirror) -> list[Op]:
    """Where a fresh port is, for a forward or the host, who may have asked before it was there.

    Nothing as long as its bridge does not hand on frames to it: what waited would be lost.
    """
    link = mirror.links.get(connection.interface)
    if link is None or not link.running or network.bridge not in mirror.links:
        return []
    return [
        SetNeighbour(name=network.bridge, address=connection.address, mac=connection.mac),
    ]


def _furnish(connection: Connection, snapshot: Snapshot, namespace: str, name: str) -> list[Op]:
    """What goes inside a fresh namespace end."""
    network = snapshot.networks[connection.network]
    address = IPv4Interface((connection.address, network.subnet.prefixlen))
    ops: list[Op] = [
        SetLink(namespace=namespace, name="lo", up=True),
        AddAddress(namespace=namespace, name=name, address=address),
        SetLink(namespace=namespace, name=name, up=True),
    ]
    if is_way_out(connection, snapshot):
        ops.append(_default_route(namespace, name, network))
    return ops


def plan_inside(
    connection: Connection, snapshot: Snapshot, inside: Inside, namespace: str
) -> list[Op] | None:
    """What is missing inside a namespace; None when our end is not in there at all."""
    network = snapshot.networks[connection.network]
    link = end_inside(connection, inside)
    if link is None:
        return None
    name, ops = link.name, list[Op]()
    addresses = inside.addresses.get(name, frozenset())
    wanted = IPv4Interface((connection.address, network.subnet.prefixlen))
    if "lo" in inside.links and not inside.links["lo"].up:
        ops.append(SetLink(namespace=namespace, name="lo", up=True))
    if link.mtu != network.mtu:
        ops.append(SetLink(namespace=namespace, name=name, mtu=network.mtu))
    if wanted not in addresses:
        ops.append(AddAddress(namespace=namespace, name=name, address=wanted))
    if not link.up:
        ops.append(SetLink(namespace=namespace, name=name, up=True))
    has_route = any(route.destination == ANYWHERE for route in inside.routes)
    if is_way_out(connection, snapshot) and not has_route:
        ops.append(_default_route(namespace, name, network))
    return ops


def end_inside(connection: Connection, inside: Inside) -> Link | None:
    """Our end of the veth, found by its MAC: users may have renamed it."""
    for link in inside.links.values():
        if link.mac == connection.mac and link.kind == "veth":
            return link
    return None


def is_way_out(connection: Connection, snapshot: Snapshot) -> bool:
    """Whether this connection carries the workload's default route: the first one with NAT does."""
    for each in snapshot.connections_of.get(connection.workload, ()):
        if snapshot.networks[each.network].nat:
            return each.key == connection.key
    return False


def _default_route(namespace: str, name: str, network: Network) -> Op:
    return AddRoute(namespace=namespace, name=name, destination=ANYWHERE, gateway=network.gateway)


def free_name_inside(connection: Connection, inside: Inside) -> str:
    """`eth<slot>`, or the next number that is not taken in the namespace."""
    number = connection.slot
    while f"eth{number}" in inside.links:
        number += 1
    return f"eth{number}"
