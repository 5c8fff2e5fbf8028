"""What `policy test` asks about: names to the addresses that a real connection would have."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from msgspec import Struct

from ..errors import Invalid
from ..firewall.verdict import Origin, Packet, Service
from ..model.lookup import check_workload, shortened
from ..model.network import Connection
from ..model.ports import parse_range
from ..model.snapshot import Snapshot
from ..model.workload import Port

# RFC 5737: documentation ranges, so that "outside" is nobody that a rule is likely to name.
_NOBODY = tuple(map(IPv4Network, ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")))

# Where the packets of the host itself come from does not matter to any rule.
_HOST = IPv4Address("127.0.0.1")


class Ends(Struct, frozen=True):
    """Who talks to whom, by address."""

    origin: Origin
    source: IPv4Address
    target: IPv4Address


class Nowhere(Struct, frozen=True):
    """There can be no connection at all; `reason` is a sentence."""

    reason: str


def find_ends(
    snapshot: Snapshot, source: str, target: str, host_addresses: Sequence[IPv4Address] = ()
) -> Ends | Nowhere:
    """The addresses of a connection from `source` to `target`, both as users write them.

    `host_addresses` are those of the host that are no gateways, the most likely one first. Raises
    Invalid and NotFound.
    """
    asking = _known(snapshot, source, ("host", "outside"))
    asked = _known(snapshot, target, ("host",))
    places = _places(snapshot, asking) if isinstance(asking, str) else []
    is_workload = isinstance(asking, str) and asking not in ("host", "outside")
    if is_workload and not places:
        return Nowhere(f"{asking} is on no network")
    if isinstance(asked, str):
        found = _target_of(snapshot, places, asked, host_addresses)
        if found is None:
            return Nowhere(f"{asked} is on no network")
        asked = found
    if is_workload:
        return Ends("workload", _source_for(snapshot, places, asked), asked)
    if asking == "host":
        return Ends("host", _HOST, asked)
    if isinstance(asking, str):
        return Ends("outside", nobody(snapshot), asked)
    return Ends(_origin_of(snapshot, asking, host_addresses), asking, asked)


def packet_of(
    ends: Ends, protocol: Service, port: int | None, host_addresses: Sequence[IPv4Address] = ()
) -> Packet:
    """The first packet of that connection."""
    return Packet(
        origin=ends.origin,
        source=ends.source,
        destination=ends.target,
        protocol=protocol,
        port=port or 0,
        is_local=ends.target in host_addresses,
    )


def _origin_of(
    snapshot: Snapshot, source: IPv4Address, host_addresses: Sequence[IPv4Address]
) -> Origin:
    networks = snapshot.networks.values()
    if source in host_addresses or any(source == each.gateway for each in networks):
        return "host"
    return "workload" if any(source in each.subnet for each in networks) else "outside"


def parse_tested_port(text: str | None, protocol: Service) -> int | None:
    """The one port that tcp and udp need and icmp has not. Raises Invalid."""
    if protocol == "icmp":
        if text is not None:
            raise Invalid("icmp has no ports", "leave out --port")
        return None
    if text is None:
        raise Invalid(f"a {protocol} connection needs --port", "for ping: --proto icmp")
    ports = parse_range(text)
    if ports.count != 1:
        raise Invalid(f"{ports} are {ports.count} ports", "a test is about one connection")
    return ports.first


def nobody(snapshot: Snapshot) -> IPv4Address:
    """An address outside that no rule names, as far as there is one."""
    named = [
        peer.range
        for rule in snapshot.rules.values()
        for peer in (rule.source, rule.dest)
        if peer.kind == "range" and peer.range.prefixlen
    ]
    named += [each.subnet for each in snapshot.networks.values()]
    candidates = (address for block in _NOBODY for address in block.hosts())
    free = (each for each in candidates if not any(each in block for block in named))
    return next(free, _NOBODY[0].network_address + 1)


def _known(snapshot: Snapshot, text: str, words: Sequence[str]) -> IPv4Address | str:
    if text in words:
        return text
    if any(sign in text for sign in "./:"):
        try:
            return IPv4Address(text)
        except AddressValueError:
            raise Invalid(f"{shortened(text)!r} is not an IPv4 address") from None
    check_workload(snapshot, text)
    return text


def _target_of(
    snapshot: Snapshot,
    places: Sequence[_Place],
    name: str,
    host_addresses: Sequence[IPv4Address],
) -> IPv4Address | None:
    """As DNS answers: on a shared network first. To workloads the host is their gateway."""
    if name == "host":
        network = snapshot.networks.get(places[0].network) if places else None
        return network.gateway if network else next(iter(host_addresses), None)
    there = _places(snapshot, name)
    mine = {each.network for each in places}
    shared = (each.address for each in there if each.network in mine)
    return next(shared, there[0].address if there else None)


def _source_for(snapshot: Snapshot, places: Sequence[_Place], target: IPv4Address) -> IPv4Address:
    """As the kernel inside chooses: that of the target's subnet, else that of the default route,
    which leads through the first network with NAT."""
    for each in places:
        if target in snapshot.networks[each.network].subnet:
            return each.address
    leads_out = (each.address for each in places if snapshot.networks[each.network].nat)
    return next(leads_out, places[0].address)


class _Place(Struct, frozen=True):
    network: str
    address: IPv4Address


def _places(snapshot: Snapshot, workload: str) -> list[_Place]:
    """Where a workload has an address, its first network first."""
    found: dict[str, _Place] = {}
    connected: Sequence[Connection] = snapshot.connections_of.get(workload, ())
    seen: Sequence[Port] = snapshot.ports_of.get(workload, ())
    everywhere: tuple[Connection | Port, ...] = (*connected, *seen)
    for each in everywhere:
        if each.address is not None and each.network in snapshot.networks:
            found.setdefault(each.network, _Place(each.network, each.address))
    return list(found.values())
