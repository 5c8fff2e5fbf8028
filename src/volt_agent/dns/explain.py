"""What would this asker be told, and why: `volt net dns query` and `volt net dns list`."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

from dnslib import QTYPE, RCODE, DNSError, DNSRecord
from msgspec import Struct

from ..errors import Invalid, Refused
from ..model.network import Network
from ..model.snapshot import Snapshot
from . import special, wire
from .answers import visible_ports
from .responder import REFUSED_TYPES, Reach
from .view import Sight, Subnets, sight_of
from .wire import CLASS_IN, Edns, Type

Source = Literal["local", "forwarded", "refused"]

_GENERIC_TYPE = re.compile(r"TYPE(\d{1,5})")  # RFC 3597, section 5
_TYPE_NUMBERS: dict[str, int] = {name: number for number, name in QTYPE.forward.items()}


class DnsEntry(Struct, frozen=True):
    """A row of `volt net dns list`: one for each network on which a workload has a name."""

    name: str
    type: str
    address: str
    network: str
    workload: str


class DnsRecord(Struct, frozen=True):
    """A record of an answer, as text. `ttl` in seconds."""

    name: str
    type: str
    ttl: int
    data: str


class DnsExplanation(Struct, frozen=True):
    """What an asker is told about `name`, and why.

    `asker` is an address, or "host"; `view` the networks it sees, in order; `source` where the
    answer comes from; `status` the rcode (NOERROR, NXDOMAIN, ...); `reason` one sentence.
    """

    name: str
    type: str
    asker: str
    view: tuple[str, ...]
    source: Source
    status: str
    answers: tuple[DnsRecord, ...]
    reason: str


def entries(snapshot: Snapshot, zone: str) -> list[DnsEntry]:
    """Every name that there is, by workload and network."""
    everything = Sight("", None)
    rows = [
        DnsEntry(f"{workload}.{zone}", "A", str(port.address), port.network, workload)
        for workload in snapshot.ports_of
        for port in visible_ports(snapshot, everything, workload)
    ]
    return sorted(rows, key=lambda row: (row.name, row.network))


def type_number(text: str) -> int:
    """`AAAA`, `https` or `TYPE65` as a number. Raises Invalid."""
    upper = text.upper()
    generic = _GENERIC_TYPE.fullmatch(upper)
    number = int(generic[1]) if generic else _TYPE_NUMBERS.get(upper)
    if number is None or number > 0xFFFF:
        raise Invalid(f"{text!r} is not a record type", "such as A, AAAA, PTR, TXT, or TYPE65")
    return number


def question_name(text: str, qtype: int) -> bytes:
    """The wire name that is meant: for PTR an address means its name under in-addr.arpa.

    Raises Invalid.
    """
    if qtype == Type.PTR:
        try:
            return wire.name_from_text(IPv4Address(text).reverse_pointer)
        except AddressValueError:
            pass
    if not text.strip():
        raise Invalid(f"{text!r} is not a DNS name", "the root of all names is written as .")
    return wire.name_from_text(text)


def packet_for(name: bytes, qtype: int) -> bytes:
    """The query that a stub resolver would send, with EDNS."""
    opt = wire.opt_record(Edns(wire.UDP_MAX, 0, False, False))
    header = wire.HEADER.pack(0, wire.RD, 1, 0, 0, 1)
    return header + wire.question_of(name, qtype) + opt


def standpoint(
    snapshot: Snapshot, subnets: Subnets, asking: IPv4Address | None
) -> tuple[Network, Sight]:
    """On which network an asker asks, and what it sees there; None is the host.

    Raises Refused where that cannot be said.
    """
    if asking is None:
        network = min(snapshot.networks.values(), key=lambda each: each.name, default=None)
        if network is None:
            raise Refused("there is no network, so nobody answers names", "volt net create NAME")
        return network, Sight(network.name, None)
    network = subnets.holding(asking)
    if network is None:
        raise Refused(f"{asking} is on none of volt's networks", "volt net list shows the subnets")
    return network, sight_of(snapshot, subnets, network, asking)


def explain(
    snapshot: Snapshot, sight: Sight, asker: str, reach: Reach, question: bytes, reply: bytes
) -> DnsExplanation:
    """Put a reply and where it came from into words; `question` is a question section."""
    name, qtype = wire.text_of(question[:-4]), int.from_bytes(question[-4:-2], "big")
    status, answers = _read_reply(reply)
    networks = tuple(sorted(snapshot.networks)) if sight.networks is None else sight.networks
    return DnsExplanation(
        name=name,
        type=_type_text(qtype),
        asker=asker,
        view=tuple(sorted(networks, key=lambda each: each != sight.asked)),
        source="local" if reach is Reach.RESERVED else reach.value,
        status=status,
        answers=answers,
        reason=_reserved(question[:-4])
        if reach is Reach.RESERVED
        else _reason(reach, qtype, status, bool(answers), sight),
    )


def _reserved(name: bytes) -> str:
    labels = wire.labels_of(name)
    if labels[-1:] == special.LOCALHOST:
        return "always the asker itself (RFC 6761)"
    zone = special.zone_of(labels)
    if zone is None:
        return "reserved for special use"
    shown, source = wire.text_of(wire.name_from_labels(zone)), special.ZONES[zone]
    return f"{shown} is reserved for special use ({source}), so nothing in it is asked upstream"


def _reason(reach: Reach, qtype: int, status: str, found: bool, sight: Sight) -> str:
    if qtype in REFUSED_TYPES:
        return "questions of this type are not answered"
    if reach is Reach.REFUSED:
        return "no network of the asker has a way out, so only volt's own names are answered"
    if reach is Reach.FORWARDED:
        if status == "SERVFAIL":
            return "not one of volt's names, and no upstream server gave an answer"
        return "not one of volt's names: asked upstream"
    if status == "NXDOMAIN":
        return f"volt's to answer, but nothing that is up has this name, as seen by {sight}"
    if not found:
        return "one of volt's names, but it has no records of this type"
    return f"one of volt's names, as seen by {sight}"


def _read_reply(reply: bytes) -> tuple[str, tuple[DnsRecord, ...]]:
    """The status and the answers of a reply. Not of a long one: dnslib takes 46 ms for 64 KiB."""
    status = RCODE.get(reply[3] & 0xF)
    if len(reply) > wire.QUERY_MAX:
        return status, ()
    try:
        parsed = DNSRecord.parse(reply)
    except (DNSError, ValueError):  # an upstream server's octets; dnslib knows some types strictly
        return status, ()
    return status, tuple(
        DnsRecord(str(each.rname).rstrip("."), _type_text(each.rtype), each.ttl, str(each.rdata))
        for each in parsed.rr
        if each.rclass == CLASS_IN
    )


def _type_text(number: int) -> str:
    known = QTYPE.forward.get(number)
    return str(known) if known else f"TYPE{number}"
