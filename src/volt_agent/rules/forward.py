"""Port forwards: who owns a port of the host, and whether a forward leads anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal

from ..errors import Invalid, NotFound, Refused
from ..kernel.host import Listener
from ..model.firewall import Forward
from ..model.lookup import check_workload, meant, shortened
from ..model.ports import PortRange, Transport, parse_range
from ..model.route import USUAL_PORTS, IngressPorts
from ..model.snapshot import Change, Snapshot

Status = Literal["active", "pending", "unreachable"]

PORT_MAX = 65535
# A listener on `::` takes IPv4 too unless it refuses (IPV6_V6ONLY), which /proc does not tell.
_ALL_ADDRESSES = ("0.0.0.0", "::")


def add_forward(
    snapshot: Snapshot,
    host_port: str,
    target: str,
    target_port: str,
    protocol: Transport,
    host_ip: str | None,
    listeners: Iterable[Listener],
    ingress: IngressPorts = USUAL_PORTS,
) -> Change:
    """Ports of the host that lead to a workload.

    `listeners` are all who listen on the host, on loopback addresses too. Refused, with the owner
    named, for a port that one of them, another forward or the ingress has.
    """
    forward = parse_forward(snapshot, host_port, target, target_port, protocol, host_ip)
    existing = snapshot.forwards.get(forward.key)
    if existing == forward:
        return Change()
    other = _clash(forward, snapshot.forwards.values())
    if other is not None:
        raise Refused(
            f"{_place(forward)} is taken: {show_forward(other)}",
            f"volt net port delete --host-port {other.ports} --proto {other.protocol}",
        )
    _check_ingress(snapshot, forward, ingress)
    owner = next(_owners(snapshot, forward, listeners), None)
    if owner is not None:
        raise Refused(
            f"{_place(forward)} is taken: {owner}",
            "stop it, choose another port, or forward one address only: --host-ip",
        )
    return Change(put=(forward,))


def parse_forward(
    snapshot: Snapshot,
    host_port: str,
    target: str,
    target_port: str,
    protocol: Transport,
    host_ip: str | None,
) -> Forward:
    """The forward that a user means. Raises Invalid, and NotFound for an unknown workload."""
    ports = parse_range(host_port)
    check_workload(snapshot, target)
    return Forward(
        protocol=protocol,
        ports=ports,
        target=target,
        target_port=_first_target(ports, target_port),
        host_ip=parse_host_ip(host_ip),
    )


def delete_forward(
    snapshot: Snapshot, host_port: str, protocol: Transport | None, host_ip: str | None
) -> Change:
    """Without the one forward that is meant. None: whatever it has; refused where several match."""
    ports, address = parse_range(host_port), parse_host_ip(host_ip)
    found = [
        each
        for each in snapshot.forwards.values()
        if each.ports == ports
        and protocol in (None, each.protocol)
        and (host_ip is None or address == each.host_ip)
    ]
    if not found:
        known = sorted(str(each.ports) for each in snapshot.forwards.values())
        raise NotFound(f"there is no forward of port {ports}", meant(str(ports), known))
    if len(found) > 1:
        raise Refused(
            f"{len(found)} forwards of port {ports}: " + "; ".join(map(show_forward, found)),
            "say which one with --proto and --host-ip (0.0.0.0: the one of all addresses)",
        )
    return Change(delete=(found[0],))


def status_of(snapshot: Snapshot, forward: Forward) -> Status:
    """`pending`: the target does not run. `unreachable`: it runs, but on no network."""
    if forward.target not in snapshot.instances:
        return "pending"
    places = snapshot.connections_of.get(forward.target, ())
    ports = snapshot.ports_of.get(forward.target, ())
    if not snapshot.addresses_of(forward.target):
        return "unreachable"
    first = places[0].network if places else ports[0].network
    return "active" if any(each.network == first and each.up for each in ports) else "unreachable"


def target_ports(forward: Forward) -> PortRange:
    return PortRange(forward.target_port, forward.target_port + forward.ports.count - 1)


def show_forward(forward: Forward) -> str:
    """`192.0.2.1:80/tcp -> web:8080`"""
    return f"{_place(forward)} -> {forward.target}:{target_ports(forward)}"


def parse_host_ip(text: str | None) -> IPv4Address | None:
    """An address of the host; None, like 0.0.0.0, is all. Raises Invalid."""
    if text is None:
        return None
    try:
        address = IPv4Address(text)
    except AddressValueError:
        kind = "IPv6; forwards are IPv4 for now" if _is_ipv6(text) else "not an IPv4 address"
        raise Invalid(f"--host-ip {shortened(text)!r} is {kind}", "write it as 192.0.2.1") from None
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise Invalid(f"--host-ip {address} cannot be an address of a host")
    return None if address.is_unspecified else address


def _first_target(ports: PortRange, text: str) -> int:
    target = parse_range(text)
    if target.count not in (1, ports.count):
        raise Invalid(
            f"{ports.count} ports of the host cannot lead to {target.count} of the target",
            f"write the first one ({target.first}) or a range of {ports.count}",
        )
    if target.first + ports.count - 1 > PORT_MAX:
        raise Invalid(
            f"{ports.count} ports from {target.first} on go beyond {PORT_MAX}",
            f"the first can be {PORT_MAX + 1 - ports.count} at most",
        )
    return target.first


def _clash(one: Forward, others: Iterable[Forward]) -> Forward | None:
    """Another forward that has one of the ports at one of the addresses: 1 ms for 10,000."""
    first, last = one.ports.first, one.ports.last
    for other in others:
        if other.ports.first <= last and other.ports.last >= first:  # rarely: hence the order
            same_address = None in (one.host_ip, other.host_ip) or one.host_ip == other.host_ip
            if one.protocol == other.protocol and same_address:
                return other
    return None


def forward_of(snapshot: Snapshot, port: int) -> Forward | None:
    """The forward that has a TCP port of the host, at whatever address."""
    for each in snapshot.forwards.values():
        if each.protocol == "tcp" and port in each.ports:
            return each
    return None


def _check_ingress(snapshot: Snapshot, forward: Forward, ingress: IngressPorts) -> None:
    if forward.protocol != "tcp":
        return
    for scheme, port in ingress.needed_by(snapshot.routes.values()).items():
        if port in forward.ports:
            raise Refused(
                f"{_place(forward)} is taken: the ingress takes {scheme} requests at {port}",
                f"choose another port, or move the ingress: ingress.{scheme}_port",
            )


def _owners(snapshot: Snapshot, forward: Forward, listeners: Iterable[Listener]) -> Iterator[str]:
    """Who would lose traffic to `forward`, in words."""
    gateways = {str(each.gateway) for each in snapshot.networks.values()}
    for each in listeners:
        if each.protocol != forward.protocol or each.port not in forward.ports:
            continue
        if each.address not in _ALL_ADDRESSES and not _covers(forward, each.address):
            continue
        owner = "volt itself" if each.address in gateways else each.process or "a process"
        where = f"[{each.address}]" if ":" in each.address else each.address
        yield f"{owner} listens on {where}:{each.port}/{each.protocol}"


def _covers(forward: Forward, address: str) -> bool:
    if ":" in address:
        return False
    return forward.host_ip is None or str(forward.host_ip) == address


def _place(forward: Forward) -> str:
    return f"{forward.host_ip or '*'}:{forward.ports}/{forward.protocol}"


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
