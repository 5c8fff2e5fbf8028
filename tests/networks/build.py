"""Snapshots and mirrors to test decisions on."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from volt_agent.kernel.state import Link, Mirror, Route
from volt_agent.model.names import bridge_alias, port_alias
from volt_agent.model.network import Connection, Network
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Instance
from volt_agent.networks.decide import Surroundings, connect, create_network

AROUND = Surroundings(
    default_bridge="volt0", default_subnet=IPv4Network("10.0.0.0/24"), default_mtu=1500
)


def route(destination: str, link: str = "eth0") -> Route:
    return Route(IPv4Network(destination), None, link)


def apply(snapshot: Snapshot, *changes: Change) -> Snapshot:
    for change in changes:
        snapshot = snapshot.apply(change)
    return snapshot


def with_network(
    snapshot: Snapshot, name: str, subnet: str, nat: bool = True, mtu: int | None = None
) -> Snapshot:
    return snapshot.apply(create_network(snapshot, AROUND, name, subnet, nat, mtu))


def with_connection(
    snapshot: Snapshot, network: str, workload: str, ip: str | None = None
) -> Snapshot:
    return snapshot.apply(connect(snapshot, network, workload, ip))


def backend(*workloads: str) -> Snapshot:
    """A host with network backend, 10.30.0.0/24, and these workloads connected to it."""
    snapshot = with_network(Snapshot(), "backend", "10.30.0.0/24")
    for name in workloads:
        snapshot = with_connection(snapshot, "backend", name)
    return snapshot


def running(snapshot: Snapshot, name: str, identity: str = "1") -> Snapshot:
    instance = Instance(
        name=name,
        kind="container",
        runtime="netns",
        identity=identity,
        namespace=f"/run/netns/{name}",
    )
    return snapshot.apply(Change(put=(instance,)))


def mirror_of(*links: Link, **addresses: str) -> Mirror:
    mirror = Mirror()
    for link in links:
        mirror.put_link(link)
    for name, address in addresses.items():
        index = mirror.links[name.replace("_", "-")].index
        mirror.addresses[index] = frozenset([IPv4Interface(address)])
    return mirror


def bridge_link(network: Network, index: int = 10, **changes: object) -> Link:
    fields: dict[str, object] = {
        "index": index,
        "name": network.bridge,
        "kind": "bridge",
        "up": True,
        "carrier": True,
        "running": True,
        "mtu": network.mtu,
        "alias": bridge_alias(network.name),
        "netfilter": True,
        "localnet": True,
    }
    return Link(**{**fields, **changes})  # type: ignore[arg-type]


def port_link(connection: Connection, index: int = 20, **changes: object) -> Link:
    fields: dict[str, object] = {
        "index": index,
        "name": connection.interface,
        "kind": "veth",
        "up": True,
        "carrier": True,
        "running": True,
        "master": 10,
        "alias": port_alias(connection.network, connection.workload),
        "hairpin": True,
    }
    return Link(**{**fields, **changes})  # type: ignore[arg-type]


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)
