"""The section `services` of a Compose file: who is on which network, and which ports lead there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import combinations

from msgspec import Struct

from ..control.messages.compose import WantedConnection, WantedForward, WantedNetwork
from ..model.names import label_from
from .networks import name_of
from .ports import clash, read_ports
from .reader import Reader, items, shown

KNOWN = ("container_name", "networks", "ports", "network_mode")
PLACE = ("ipv4_address", "mac_address")
# Every pair is looked at: 2 s for so many.
PORTS_MAX = 1000


class Service(Struct, frozen=True):
    """A service: its path, its workload, and the keys of its networks in the file."""

    path: str
    workload: str
    networks: tuple[str, ...]
    connections: tuple[WantedConnection, ...]
    forwards: tuple[WantedForward, ...]


def read_services(
    reader: Reader,
    found: Mapping[str, object],
    networks: Mapping[str, WantedNetwork],
    project: str,
) -> list[Service]:
    """All services; on the network `default` where one names none."""
    services: dict[str, Service] = {}
    for key, value in found.items():
        path = f"services.{key}"
        service = _read(reader, path, key, reader.mapping(path, value), networks, project)
        if service.workload in services:
            reader.mistake(path, f"another service is the workload {service.workload} too")
        services.setdefault(service.workload, service)
    _check_clashes(reader, services.values())
    return [*services.values()]


def _check_clashes(reader: Reader, services: Iterable[Service]) -> None:
    """A port of the host leads to one workload."""
    every = [(each.path, forward) for each in services for forward in each.forwards]
    if len(every) > PORTS_MAX:
        reader.mistake("services", f"{len(every)} ports are too many; {PORTS_MAX} at most")
        return
    for (path, one), (other, two) in combinations(every, 2):
        if clash(one, two):
            reader.mistake(f"{other}.ports", f"port {two.host_port} is one of {path}.ports already")


def _read(
    reader: Reader,
    path: str,
    key: str,
    found: Mapping[str, object],
    networks: Mapping[str, WantedNetwork],
    project: str,
) -> Service:
    reader.ignore_others(path, found, KNOWN)
    named = reader.text(f"{path}.container_name", found.get("container_name"))
    workload = label_from(named or key)
    places = _places(reader, path, found)
    for each in places:
        if each not in networks and each != "default":
            reader.mistake(f"{path}.networks", f"{shown(each)} is not in the section networks")
    connections = [
        _connection(reader, f"{path}.networks.{each}", value, workload, networks.get(each))
        or WantedConnection(network=name_of(each, project), workload=workload)
        for each, value in places.items()
    ]
    forwards = read_ports(reader, f"{path}.ports", found.get("ports"), workload)
    if forwards and not places:
        reader.mistake(f"{path}.ports", "a service without a network has no ports")
    return Service(path, workload, tuple(places), tuple(connections), tuple(forwards))


def _places(reader: Reader, path: str, found: Mapping[str, object]) -> dict[str, object]:
    """The keys of the networks, in order, with what stands there about each."""
    mode = reader.text(f"{path}.network_mode", found.get("network_mode"))
    if mode is not None and mode not in ("bridge", "none"):
        reader.ignore(f"{path}.network_mode", "volt knows networks only; the service is on none")
    if mode not in (None, "bridge"):
        return {}
    listed = found.get("networks")
    if not listed:
        return {"default": None}
    if isinstance(listed, dict):
        return listed
    where = f"{path}.networks"
    texts = [reader.text(at, each) for at, each in items(where, reader.sequence(where, listed))]
    return {text: None for text in texts if text is not None}


def _connection(
    reader: Reader, path: str, value: object, workload: str, network: WantedNetwork | None
) -> WantedConnection | None:
    """None for a network that the file does not describe."""
    place = reader.mapping(path, value)
    reader.ignore_others(path, place, PLACE)
    ip = reader.text(f"{path}.ipv4_address", place.get("ipv4_address"))
    if ip is not None:
        _check_address(reader, f"{path}.ipv4_address", ip, network)
    mac = reader.text(f"{path}.mac_address", place.get("mac_address"))
    if network is None:
        return None
    return WantedConnection(network=network.name, workload=workload, ip=ip, mac=mac)


def _check_address(reader: Reader, path: str, text: str, network: WantedNetwork | None) -> None:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        reader.mistake(path, f"expected an IPv4 address, got {shown(text)}")
        return
    subnet = network.subnet if network is not None else None
    if subnet is not None and address not in IPv4Network(subnet):
        reader.mistake(path, f"{address} is not in {subnet}")
