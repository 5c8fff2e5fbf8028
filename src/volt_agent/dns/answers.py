"""Which names are ours, and what a view is told about them. Plain functions on the snapshot.

Ours are `NAME`, `NAME.ZONE` and `NAME.NETWORK.ZONE`, the addresses of every subnet (PTR), and
`NAME.SEARCHDOMAIN` where such a workload is visible; all other single-label names and everything in
the zone do not exist. Names for special use are answered here, too (`special`). A name is there
while its workload has a port that is up and has an address.
The zone's own name is the server's: its address is the gateway that was asked.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final, Literal

from dnslib import SOA, DNSBuffer
from msgspec import Struct

from ..model.network import Connection, Reservation
from ..model.snapshot import Object, Snapshot
from ..model.workload import Port
from . import special, wire
from .settings import DnsSettings
from .view import Sight, Subnets
from .wire import Rcode, Type

# Seconds. Addresses stay with their names over restarts, so a client that caches is rarely wrong;
# five seconds are little when it is, and plenty against one that asks for every connection.
TTL = 5
# RFC 2308. A client that asked a moment before its peer started shall find it at its next try,
# which for most is a second later; an unnecessary question costs 10 us.
NEGATIVE_TTL = 1

_REVERSE: Final = (b"in-addr", b"arpa")
_REVERSE_ZONE: Final = wire.name_from_labels(_REVERSE)
_OCTETS: Final = tuple(wire.label(str(octet)) for octet in range(256))
_ROOT: Final = b"\0"
# RFC 6303, section 3: nobody is responsible for a zone that exists on one host only.
_NOBODY = "nobody.invalid."

Kind = Literal["known", "unknown", "reverse", "reserved"]


class Found(Struct, frozen=True):
    """What there is to say about a name of ours.

    `answer` are records; where there are none, the SOA of `zone` says so (RFC 2308): the name has
    no such records (NOERROR) or does not exist (NXDOMAIN). `kind` is where its tails are cached.
    """

    kind: Kind
    zone: bytes
    answer: tuple[bytes, ...] = ()
    rcode: Rcode = Rcode.NOERROR


class Names:
    """The names that are ours by configuration: the zone and the search domains.

    Raises Invalid for a zone or search domain that is no DNS name.
    """

    def __init__(self, settings: DnsSettings) -> None:
        self._zone = wire.name_from_text(settings.zone)
        self._zone_labels = wire.labels_of(self._zone)
        domains = {wire.labels_of(wire.name_from_text(each)) for each in settings.search_domains}
        # What ends in the zone is the zone's; the root is none to search in.
        depth = len(self._zone_labels)
        self._search = {each for each in domains if each and each[-depth:] != self._zone_labels}
        self._suffixes = (_ROOT, self._zone, *map(wire.name_from_labels, self._search))
        self._soa = _soa(settings.zone)

    def look_up(
        self, snapshot: Snapshot, subnets: Subnets, sight: Sight, name: bytes, qtype: int
    ) -> Found | None:
        """What `sight` is told about `name`; None for a name that is somebody else's."""
        labels = wire.labels_of(name)
        depth = len(self._zone_labels)
        if labels[-depth:] == self._zone_labels:
            return self._in_zone(snapshot, sight, labels[:-depth], qtype)
        if labels[-1:] == special.LOCALHOST:
            return _localhost(qtype)
        if len(labels) == 1:
            return _workload(snapshot, sight, labels[0], qtype, _ROOT) or _nothing(_ROOT)
        if labels[-2:] == _REVERSE:
            found = self._reverse(snapshot, subnets, sight, labels, qtype)
            return found or self._reserved(labels, qtype)
        if labels[1:] in self._search:
            zone = wire.name_from_labels(labels[1:])
            return _workload(snapshot, sight, labels[0], qtype, zone)
        return self._reserved(labels, qtype)

    def negative(self, found: Found) -> tuple[bytes, ...]:
        """The authority section of an answer without records."""
        return (wire.record(found.zone, Type.SOA, NEGATIVE_TTL, self._soa),)

    def owners(self, touched: Object | None) -> tuple[bytes, ...]:
        """The names whose answers depend on `touched`, in wire form."""
        if isinstance(touched, Port):
            return (*self._forward_names(touched), *_reverse_names(touched.address))
        if isinstance(touched, Connection | Reservation):  # the PTR follows who owns the address
            return _reverse_names(touched.address)
        return ()

    def structural(self, network: str) -> tuple[bytes, ...]:
        """The names that depend on there being a network: its own, and the zone's."""
        label = network.encode()
        return (wire.name_from_labels((label, *self._zone_labels)), self._zone)

    def host_name(self, workload: str) -> bytes:
        """The name that is shown for a workload."""
        return wire.name_from_labels((workload.encode(), *self._zone_labels))

    def _forward_names(self, port: Port) -> tuple[bytes, ...]:
        label, network = wire.label(port.workload), wire.label(port.network)
        return (label + network + self._zone, *(label + each for each in self._suffixes))

    def _in_zone(
        self, snapshot: Snapshot, sight: Sight, labels: tuple[bytes, ...], qtype: int
    ) -> Found:
        """A name in the zone; `labels` are those before the zone's."""
        if not labels:
            return self._apex(snapshot, sight, qtype)
        found = None
        if len(labels) == 1:
            found = _workload(snapshot, sight, labels[0], qtype, self._zone)
            # NAME.NETWORK.ZONE may exist, so NETWORK.ZONE does, without records (RFC 8020).
            if found is None and _is_network(snapshot, sight, labels[0]):
                found = Found("known", self._zone)
        elif len(labels) == 2:
            network = _text(labels[1])
            found = _workload(snapshot, sight, labels[0], qtype, self._zone, network)
        return found or _nothing(self._zone)

    def _apex(self, snapshot: Snapshot, sight: Sight, qtype: int) -> Found:
        network = snapshot.networks.get(sight.asked)
        if qtype == Type.A and network is not None:
            answer = wire.record(wire.QUESTION_NAME, Type.A, TTL, network.gateway.packed)
            return Found("known", self._zone, (answer,))
        return self._top("known", self._zone, qtype)

    def _top(self, kind: Kind, zone: bytes, qtype: int) -> Found:
        """What every zone of ours has at its own name: SOA and NS."""
        # RFC 8482, section 4.1: ANY may be answered with one record set of our choice.
        if qtype in (Type.SOA, Type.ANY):
            answer = wire.record(wire.QUESTION_NAME, Type.SOA, NEGATIVE_TTL, self._soa)
        elif qtype == Type.NS:
            answer = wire.record(wire.QUESTION_NAME, Type.NS, TTL, self._zone)
        else:
            return Found(kind, zone)
        return Found(kind, zone, (answer,))

    def _reserved(self, labels: special.Labels, qtype: int) -> Found | None:
        """What is told about a name for special use; None for any other."""
        zone_labels = special.zone_of(labels)
        if zone_labels is None or any(labels[-len(each) :] == each for each in self._search):
            return None
        zone = wire.name_from_labels(zone_labels)
        has_pointer = labels in special.POINTERS
        if has_pointer and qtype in (Type.PTR, Type.ANY):
            localhost = wire.name_from_labels(special.LOCALHOST)
            pointer = wire.record(wire.QUESTION_NAME, Type.PTR, TTL, localhost)
            return Found("reserved", zone, (pointer,))
        if labels == zone_labels:
            return self._top("reserved", zone, qtype)
        exists = has_pointer or zone_labels == special.RESOLVER_ARPA
        return Found("reserved", zone, (), Rcode.NOERROR if exists else Rcode.NXDOMAIN)

    def _reverse(
        self,
        snapshot: Snapshot,
        subnets: Subnets,
        sight: Sight,
        labels: tuple[bytes, ...],
        qtype: int,
    ) -> Found | None:
        """A name under in-addr.arpa: ours if all the addresses below it are in one subnet."""
        octets = _octets(labels[:-2])
        first = int.from_bytes(octets.ljust(4, b"\0"), "big")
        last = int.from_bytes(octets.ljust(4, b"\xff"), "big")
        network = subnets.holding_all(first, last)
        if network is None:
            # What lies below exists, so this does, even in a zone without names (RFC 8020).
            exists = len(labels) == len(octets) + 2 and subnets.reach_into(first, last)
            reserved = exists and special.zone_of(labels)
            return self._top("reverse", wire.name_from_labels(labels), qtype) if reserved else None
        # One zone for each 256 addresses, whatever the prefix: a SOA has to be at or above the
        # name.
        zone = wire.name_from_labels(labels[-5:])
        if len(labels) != len(octets) + 2:
            return _nothing(zone, "reverse")
        if len(octets) < 4:
            return self._top("reverse", zone, qtype)
        workload = _owner(snapshot, sight, network.name, IPv4Address(octets))
        if workload is None:
            return _nothing(zone, "reverse")
        return Found("reverse", zone, self._pointer(workload, qtype))

    def _pointer(self, workload: str, qtype: int) -> tuple[bytes, ...]:
        if qtype not in (Type.PTR, Type.ANY):
            return ()
        return (wire.record(wire.QUESTION_NAME, Type.PTR, TTL, self.host_name(workload)),)


def visible_ports(snapshot: Snapshot, sight: Sight, workload: str) -> list[Port]:
    """The ports that give `workload` its addresses in this sight, in the order they are told in."""
    ports = (each for each in snapshot.ports_of.get(workload, ()) if _is_named(each))
    return sorted((each for each in ports if sight.sees(each.network)), key=sight.rank)


def _is_named(port: Port) -> bool:
    return port.up and port.address is not None


def _workload(
    snapshot: Snapshot,
    sight: Sight,
    label: bytes,
    qtype: int,
    zone: bytes,
    network: str | None = None,
) -> Found | None:
    """What is told about a workload, on one network or on all; None if it is not there."""
    ports = visible_ports(snapshot, sight, _text(label))
    if network is not None:
        ports = [each for each in ports if each.network == network]
    if not ports:
        return None
    wanted = qtype in (Type.A, Type.ANY)
    addresses = dict.fromkeys(each.address.packed for each in ports if each.address and wanted)
    records = (wire.record(wire.QUESTION_NAME, Type.A, TTL, each) for each in addresses)
    return Found("known", zone, tuple(records))


def _owner(snapshot: Snapshot, sight: Sight, network: str, address: IPv4Address) -> str | None:
    """The visible workload whose port on `network` is up and has `address`."""
    owner = snapshot.owners.get(address)
    port = snapshot.ports.get(f"{network}/{owner.workload}") if owner else None
    if port is None or port.address != address or not port.up or not sight.sees(network):
        return None
    return port.workload


def _is_network(snapshot: Snapshot, sight: Sight, label: bytes) -> bool:
    network = _text(label)
    return network in snapshot.networks and sight.sees(network)


def _localhost(qtype: int) -> Found:
    """RFC 6761, section 6.3: the loopback addresses, and no other records."""
    wanted = Type.A if qtype == Type.ANY else qtype
    address = special.LOOPBACK.get(wanted)
    records = () if address is None else (wire.record(wire.QUESTION_NAME, wanted, TTL, address),)
    return Found("reserved", wire.name_from_labels(special.LOCALHOST), records)


def _nothing(zone: bytes, kind: Kind = "unknown") -> Found:
    return Found(kind, zone, (), Rcode.NXDOMAIN)


def _text(label: bytes) -> str:
    """A label as the model writes names; one that is no name of ours matches none."""
    return label.decode("ascii", "replace")


def _octets(labels: tuple[bytes, ...]) -> bytes:
    """The address octets that reversed labels spell, up to the first that is none."""
    octets = bytearray()
    for label in labels[:-5:-1]:
        if not label.isdigit() or len(label) > 3 or int(label) > 255 or label != b"%d" % int(label):
            break
        octets.append(int(label))
    return bytes(octets)


def _reverse_names(address: IPv4Address | None) -> tuple[bytes, ...]:
    if address is None:
        return ()
    a, b, c, d = address.packed
    return (_OCTETS[d] + _OCTETS[c] + _OCTETS[b] + _OCTETS[a] + _REVERSE_ZONE,)


def _soa(zone: str) -> bytes:
    """The SOA data: the zone's own name serves it. Nobody transfers it, so its serial stands."""
    buffer = DNSBuffer()
    SOA(f"{zone}.", _NOBODY, (1, 3600, 600, 86400, NEGATIVE_TTL)).pack(buffer)
    return bytes(buffer.data)
