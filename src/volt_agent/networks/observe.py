"""What the kernel's links mean: plain functions from the mirror to ports."""

from __future__ import annotations

from ..kernel.state import Link, Mirror
from ..model.names import ALIAS_PREFIX, is_label, label_from, port_alias
from ..model.network import Connection, Kind, Network
from ..model.snapshot import Snapshot
from ..model.workload import Port

# Bridge ports of these kinds are workloads; anything else (a physical card, a bond, a VLAN, a
# tunnel) is the uplink of a bridge and belongs to nobody.
_WORKLOAD_KINDS = ("veth", "tun", "macvtap", "vxcan")
# systemd-nspawn --network-bridge: the name is hashed over 12 characters, the altname is whole
# (systemd.net-naming-scheme(7)).
_NSPAWN = "vb-"


def made_port(
    connection: Connection, snapshot: Snapshot, mirror: Mirror, inside: str | None
) -> Port | None:
    """The port of a connection as the kernel has it; None while its link or its run is missing."""
    link = mirror.links.get(connection.interface)
    network = snapshot.networks.get(connection.network)
    if link is None or network is None or connection.workload not in snapshot.instances:
        return None
    if link.alias != port_alias(connection.network, connection.workload):
        return None
    return Port(
        network=connection.network,
        workload=connection.workload,
        interface=link.name,
        ifindex=link.index,
        up=_is_up(link, network, mirror),
        inside=inside,
        address=connection.address,
        mac=connection.mac,
    )


def foreign_port(link: Link, network: Network, workload: str, mirror: Mirror) -> Port:
    """A port that somebody else attached. Its address is not known before its first lease."""
    return Port(
        network=network.name,
        workload=workload,
        interface=link.name,
        ifindex=link.index,
        up=_is_up(link, network, mirror),
        made=False,
    )


def _is_up(link: Link, network: Network, mirror: Mirror) -> bool:
    bridge = mirror.links.get(network.bridge)
    return link.up and link.carrier and bridge is not None and link.master == bridge.index


def is_foreign(link: Link) -> bool:
    """Whether a port of one of volt's bridges is a workload that volt did not attach itself."""
    return link.kind in _WORKLOAD_KINDS and connection_key(link) is None


def foreign_name(link: Link) -> str:
    """The workload's name: an altname comes before the (perhaps hashed) interface name."""
    for altname in sorted(link.altnames, key=len, reverse=True):
        if altname.startswith(_NSPAWN):
            return label_from(altname.removeprefix(_NSPAWN))
    if link.altnames:
        return label_from(link.altnames[0])
    return label_from(link.name.removeprefix(_NSPAWN))


def foreign_kind(link: Link) -> Kind:
    return "vm" if link.kind in ("tun", "macvtap") else "container"


def connection_key(link: Link) -> str | None:
    """NETWORK/WORKLOAD of a port that volt made, by its alias; None for any other link.

    Anybody with rights over the host's links may write into an alias: what volt cannot have written
    (`volt:../x`) says nothing.
    """
    if not link.alias.startswith(ALIAS_PREFIX):
        return None
    network, _, workload = link.alias.removeprefix(ALIAS_PREFIX).partition("/")
    return f"{network}/{workload}" if is_label(network) and is_label(workload) else None


def network_by_alias(link: Link | None) -> str | None:
    """The name of the network whose bridge volt made `link` to be; None for any other link."""
    if link is None or link.kind != "bridge" or not link.alias.startswith(ALIAS_PREFIX):
        return None
    name = link.alias.removeprefix(ALIAS_PREFIX)
    return name if is_label(name) else None


def bridge_network(link: Link, snapshot: Snapshot, mirror: Mirror) -> Network | None:
    """The network on whose bridge `link` is a port; None where it is on none of volt's."""
    bridge = mirror.by_index.get(link.master)
    if bridge is None:
        return None
    for network in snapshot.networks.values():
        if network.bridge == bridge.name:
            return network
    return None
