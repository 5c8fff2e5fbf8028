"""One table for each document: what a query with this or that in it is told.

What RFC 6303, 6761, 7686 and 8375 reserve is in `test_special`, RFC 8906 in `test_rfc8906`, what
concerns TCP (RFC 7766) in `test_tcp`.
"""

from __future__ import annotations

from collections.abc import Iterable

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from msgspec import Struct

from volt_agent.dns.answers import NEGATIVE_TTL
from volt_agent.dns.wire import UDP_MAX

from .world import Desk, attached, network, packet, with_opt

DB = packet("db.volt.local")
LABEL_63, LABEL_64 = b"\x3f" + b"a" * 63, b"\x40" + b"a" * 64
NAME_255 = LABEL_63 * 3 + b"\x3d" + b"a" * 61 + b"\0"
NAME_256 = LABEL_63 * 3 + b"\x3e" + b"a" * 62 + b"\0"
END = b"\0\1\0\1"  # A, IN


def asking(name: bytes, end: bytes = END, counts: str = "0001 0000 0000 0000") -> bytes:
    return b"\x12\x34\1\0" + bytes.fromhex(counts) + name + end


def option(code: int, data: bytes = b"", length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return code.to_bytes(2, "big") + size.to_bytes(2, "big") + data


class Row(Struct, frozen=True):
    """A query and what it is told: an rcode, and which record types in answer and authority."""

    what: str
    query: bytes
    rcode: str
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()


RFC_1035 = (
    Row("4.1.1 an inverse query is not implemented", packet("db", opcode=1), "NOTIMP"),
    Row("4.1.1 nor is a status query", packet("db", opcode=2), "NOTIMP"),
    Row("3.2.4 classes but IN are refused", DB[:-1] + b"\3", "REFUSED"),
    Row("3.2.5 any class is refused", DB[:-1] + b"\xff", "REFUSED"),
    Row("3.2.3 mail agent types are refused", packet("db", "ANY")[:-3] + b"\xfe\0\1", "REFUSED"),
    Row("2.3.1 case does not matter", packet("dB.vOLT.lOCAL"), "NOERROR", ("A",)),
    Row("2.3.4 labels of 63 octets", asking(LABEL_63 + b"\0"), "NXDOMAIN", (), ("SOA",)),
    Row("2.3.4 labels of 64 octets", asking(LABEL_64 + b"\0"), "FORMERR"),
    Row("2.3.4 names of 255 octets", asking(NAME_255, b"\0\1\0\3"), "REFUSED"),
    Row("2.3.4 names of 256 octets", asking(NAME_256, b"\0\1\0\3"), "FORMERR"),
    Row("4.1.4 a pointer to itself", asking(b"\xc0\x0c"), "FORMERR"),
    Row("4.1.4 a pointer into the header", asking(b"\xc0\x00"), "FORMERR"),
    Row("4.1.2 no question", asking(b"", b"", "0000 0000 0000 0000"), "FORMERR"),
    Row("4.1.2 half a question", asking(b"\2db"), "FORMERR"),
)
RFC_9619 = (
    Row(
        "4 two questions", asking(b"\2db\0", END + b"\2db\0" + END, "0002 00000000 0000"), "FORMERR"
    ),
)
RFC_2308 = (
    Row("2.1 no such name", packet("nobody.volt.local"), "NXDOMAIN", (), ("SOA",)),
    Row("2.2 no such type", packet("db.volt.local", "AAAA"), "NOERROR", (), ("SOA",)),
    Row("2.2 nothing at a network's name", packet("backend.volt.local"), "NOERROR", (), ("SOA",)),
    Row("2.1 no such single label", packet("nobody"), "NXDOMAIN", (), ("SOA",)),
    Row("2.1 no such pointer", packet("99.0.30.10.in-addr.arpa", "PTR"), "NXDOMAIN", (), ("SOA",)),
    Row("2.2 a pointer asked for A", packet("5.0.30.10.in-addr.arpa"), "NOERROR", (), ("SOA",)),
)
RFC_2181 = (
    Row("the zone has a SOA", packet("volt.local", "SOA"), "NOERROR", ("SOA",)),
    Row("and an NS", packet("volt.local", "NS"), "NOERROR", ("NS",)),
    Row("whose name has an address", packet("volt.local"), "NOERROR", ("A",)),
)
RFC_6891 = (
    Row("6.1.1 EDNS", with_opt(DB), "NOERROR", ("A",)),
    Row("6.1.1 two OPT records", with_opt(with_opt(DB)), "FORMERR"),
    Row("6.1.2 an option cut short", with_opt(DB, options=option(10, b"x", 9)), "FORMERR"),
    Row("6.1.2 half an option", with_opt(DB, options=b"\0"), "FORMERR"),
    Row("6.1.2 options are ignored", with_opt(DB, options=option(65001)), "NOERROR", ("A",)),
    Row("6.1.3 version 1", with_opt(DB, version=1), "BADVERS"),
    Row("6.1.3 version 255", with_opt(DB, version=255), "BADVERS"),
    Row("6.2.3 a size below 512 means 512", with_opt(DB, size=0), "NOERROR", ("A",)),
    Row("6.1.2 a name other than the root", with_opt(DB)[:-11] + b"\1x\0" + with_opt(DB)[-10:],
        "FORMERR"),
)  # fmt: skip
RFC_8482 = (
    Row("4.1 a name", packet("db.volt.local", "ANY"), "NOERROR", ("A",)),
    Row("4.1 the zone", packet("volt.local", "ANY"), "NOERROR", ("SOA",)),
    Row("4.1 a pointer", packet("5.0.30.10.in-addr.arpa", "ANY"), "NOERROR", ("PTR",)),
    Row("4.1 no such name", packet("nobody.volt.local", "ANY"), "NXDOMAIN", (), ("SOA",)),
)
RFC_5936 = (Row("a transfer of the zone", packet("volt.local", "AXFR"), "REFUSED"),)
RFC_1995 = (Row("an incremental one", packet("volt.local", "IXFR"), "REFUSED"),)
RFC_1996 = (Row("a notification", packet("volt.local", "SOA", opcode=4), "NOTIMP"),)
RFC_2136 = (Row("an update", packet("volt.local", "SOA", opcode=5), "NOTIMP"),)
RFC_8490 = (Row("a session", packet("volt.local", opcode=6), "NOTIMP"),)
TABLES = {
    "1035": RFC_1035, "9619": RFC_9619, "2308": RFC_2308, "2181": RFC_2181, "6891": RFC_6891,
    "8482": RFC_8482, "5936": RFC_5936, "1995": RFC_1995, "1996": RFC_1996, "2136": RFC_2136,
    "8490": RFC_8490,
}  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"RFC {rfc}, {row.what}")
        for rfc, rows in TABLES.items()
        for row in rows
    ],
)
def test_documents(row: Row) -> None:
    """The answer has this rcode and these records, is authoritative, and is ours alone to give."""
    desk = Desk()
    reply = told(desk, row.query)
    assert dns.rcode.to_text(reply.rcode()) == row.rcode
    assert (types(reply.answer), types(reply.authority)) == (row.answer, row.authority)
    assert not reply.additional
    is_answer = bool(row.answer or row.authority)
    assert bool(reply.flags & dns.flags.AA) == is_answer
    assert not reply.flags & dns.flags.TC
    assert desk.counters.forwarded == 0


def told(desk: Desk, query: bytes) -> dns.message.Message:
    reply = desk.ask(query)
    assert reply is not None
    return dns.message.from_wire(reply)


def types(section: Iterable[dns.rrset.RRset]) -> tuple[str, ...]:
    return tuple(dns.rdatatype.to_text(each.rdtype) for each in section)


def test_negative_answers_say_for_how_long() -> None:
    """RFC 2308, section 5: the SOA's own TTL and its last field, which are the same here."""
    (soa,) = told(Desk(), packet("nobody.volt.local")).authority
    assert (soa.ttl, soa[0].minimum) == (NEGATIVE_TTL, NEGATIVE_TTL)
    assert str(soa.name) == "volt.local."


@pytest.mark.parametrize("size", [512, 600, 1232, 4096])
def test_replies_keep_to_the_askers_size(size: int) -> None:
    """RFC 6891, section 6.2.5: no more than asked for; RFC 2181, section 9: TC says what is cut."""
    desk = Desk()
    for i in range(90):
        desk.commit(network(f"n{i}", f"10.80.{i}.0/24"), *attached(f"n{i}", "big", f"10.80.{i}.9"))
    reply = desk.ask(with_opt(packet("big"), size=size))
    assert reply is not None
    parsed = dns.message.from_wire(reply)
    assert len(reply) <= min(size, UDP_MAX)
    assert parsed.flags & dns.flags.TC
    assert not parsed.answer
    whole = desk.ask(with_opt(packet("big"), size=size), stream=True)
    assert whole is not None
    assert len(dns.message.from_wire(whole).answer[0]) == 90
