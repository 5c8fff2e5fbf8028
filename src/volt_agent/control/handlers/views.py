"""From the model to messages: plain functions on a snapshot and the kernel's mirror."""

from __future__ import annotations

from collections import Counter

from ...kernel.state import Mirror
from ...model.network import Connection, Network
from ...model.snapshot import Snapshot
from ...model.workload import Workload
from ...networks.plan import plan_bridge
from ..messages import network as messages
from ..messages import workload as workload_messages


def network_views(snapshot: Snapshot, mirror: Mirror) -> list[messages.Network]:
    """The default network, which is its own bridge, then the others by name."""
    ordered = sorted(snapshot.networks.values(), key=lambda one: (one.bridge != one.name, one.name))
    connected = Counter(key.partition("/")[0] for key in _places(snapshot))
    return [_network_view(each, connected[each.name], mirror) for each in ordered]


def network_view(network: Network, snapshot: Snapshot, mirror: Mirror) -> messages.Network:
    return _network_view(network, len(members(network, snapshot)), mirror)


def _network_view(network: Network, connected: int, mirror: Mirror) -> messages.Network:
    return messages.Network(
        name=network.name,
        bridge=network.bridge,
        subnet=str(network.subnet),
        gateway=str(network.gateway),
        mtu=network.mtu,
        nat=network.nat,
        internal=not network.nat,
        connected=connected,
        status=network_status(network, mirror),
        port_security=network.port_security,
    )


def network_status(network: Network, mirror: Mirror) -> messages.NetworkStatus:
    link = mirror.links.get(network.bridge)
    if link is None:
        return "missing"
    return "degraded" if plan_bridge(network, mirror, netfilter=False) else "up"


def members(network: Network, snapshot: Snapshot) -> list[str]:
    """Who is on a network, connected by volt or by somebody else, running or not; sorted."""
    here = network.name + "/"
    return sorted(key.removeprefix(here) for key in _places(snapshot) if key.startswith(here))


def _places(snapshot: Snapshot) -> set[str]:
    """NETWORK/WORKLOAD of everybody who is on a network, connected by volt or by somebody else."""
    return {*snapshot.connections, *snapshot.ports}


def member_view(network: Network, workload: str, snapshot: Snapshot) -> messages.Member:
    place = attachment_view(network.name, workload, snapshot)
    known, instance = snapshot.workloads.get(workload), snapshot.instances.get(workload)
    return messages.Member(
        name=workload,
        kind=instance.kind if instance else known.kind if known else "container",
        state=snapshot.state_of(workload),
        ip=place.ip,
        mac=place.mac,
        interface=place.interface,
    )


def attachment_view(
    network: str, workload: str, snapshot: Snapshot
) -> workload_messages.Attachment:
    """A workload's place on a network: as connected, or as its port was seen."""
    key = f"{network}/{workload}"
    place = snapshot.connections.get(key) or snapshot.ports.get(key)
    assert place is not None
    return workload_messages.Attachment(
        network=network,
        ip=str(place.address) if place.address is not None else None,
        mac=place.mac,
        interface=place.interface,
    )


def networks_of(workload: str, snapshot: Snapshot) -> list[str]:
    """The networks of a workload, in the order of its connections."""
    connected = [each.network for each in snapshot.connections_of.get(workload, ())]
    seen = [each.network for each in snapshot.ports_of.get(workload, ())]
    return list(dict.fromkeys([*connected, *seen]))


def workload_view(name: str, snapshot: Snapshot) -> workload_messages.Workload:
    instance = snapshot.instances.get(name)
    known = snapshot.workloads.get(name) or Workload(name=name, kind="container")
    return workload_messages.Workload(
        name=name,
        kind=instance.kind if instance else known.kind,
        runtime=instance.runtime if instance else known.runtime,
        state=snapshot.state_of(name),
        networks=[
            attachment_view(network, name, snapshot) for network in networks_of(name, snapshot)
        ],
    )


def workload_names(snapshot: Snapshot) -> list[str]:
    """Every workload that is known or runs, sorted."""
    return sorted({*snapshot.workloads, *snapshot.instances})


def connection_view(
    connection: Connection, snapshot: Snapshot, changed: bool, notes: list[str]
) -> messages.Connection:
    port = snapshot.ports.get(connection.key)
    is_vm = connection.kind == "vm"
    return messages.Connection(
        network=connection.network,
        workload=connection.workload,
        kind=connection.kind,
        ip=str(connection.address),
        mac=connection.mac,
        interface=connection.interface,
        state="attached" if port is not None and port.up else "pending",
        changed=changed,
        qemu=_qemu(connection) if is_vm else None,
        libvirt=_libvirt(connection) if is_vm else None,
        notes=notes,
    )


def _qemu(connection: Connection) -> str:
    return (
        f"-netdev tap,id=net{connection.slot},ifname={connection.interface},"
        f"script=no,downscript=no "
        f"-device virtio-net-pci,netdev=net{connection.slot},mac={connection.mac}"
    )


def _libvirt(connection: Connection) -> str:
    # managed='no': the tap exists already and stays (libvirt, "Network interfaces", since 4.2.0).
    return (
        "<interface type='ethernet'>"
        f"<target dev='{connection.interface}' managed='no'/>"
        f"<mac address='{connection.mac}'/><model type='virtio'/></interface>"
    )
