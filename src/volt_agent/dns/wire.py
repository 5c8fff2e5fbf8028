"""DNS messages as octets: the one reader of queries and the one writer of replies (RFC 1035).

Names are kept as they are on the wire (length octet, label, ..., zero octet), in lower case: this
is what dictionaries are keyed by, and what goes into replies. Length octets are at most 63, below
the letters, so `bytes.lower` changes nothing but letters.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..errors import Invalid

HEADER: Final = Layout("!HHHHHH")
_COUNTS: Final = Layout("!HHHHH")  # a header without its id
_PAIR: Final = Layout("!HH")
RECORD: Final = Layout("!HHIH")  # type, class, TTL, length of the data
_RECORD_HEAD: Final = RECORD.unpack_from

CLASS_IN = 1
# RFC 6891 leaves the size to us; 1232 fits into every path MTU that IPv6 allows, so that no reply
# is fragmented (DNS flag day 2020).
UDP_MAX = 1232
PLAIN_UDP_MAX = 512  # RFC 1035, section 4.2.1
QUERY_MAX = 4096
NAME_MAX = 255  # RFC 1035, section 2.3.4
# A compression pointer to the name in the question, which always starts at octet 12.
QUESTION_NAME: Final = b"\xc0\x0c"

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800


class Rcode(IntEnum):
    """RFC 1035, section 4.1.1; BADVERS: RFC 6891."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Type(IntEnum):
    """The record types that volt treats in a way of their own."""

    A = 1
    NS = 2
    SOA = 6
    PTR = 12
    OPT = 41
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255


class Malformed(Exception):
    """A packet that is not a well-formed message."""


class Edns(Struct, frozen=True, gc=False):
    """The OPT record of a query (RFC 6891): reply size, version, the DO bit, any options at all?"""

    size: int
    version: int
    dnssec_ok: bool
    has_options: bool


class Query(Struct, frozen=True, gc=False):
    """A well-formed query with one question.

    `name` is in lower case, `end` the offset behind the question, `edns` None without an OPT
    record.
    """

    packet: bytes
    flags: int
    name: bytes
    qtype: int
    qclass: int
    end: int
    edns: Edns | None

    @property
    def question(self) -> bytes:
        """Name, type and class as they were asked, in the asker's mix of cases."""
        return self.packet[12 : self.end]

    @property
    def asked_name(self) -> bytes:
        """The name in the asker's mix of cases."""
        return self.packet[HEADER.size : self.end - _PAIR.size]

    @property
    def is_lower_case(self) -> bool:
        return self.asked_name == self.name

    def in_lower_case(self) -> Query:
        """The same query, as if its name had been asked for in lower case."""
        start = self.packet[: HEADER.size] + self.name
        return replace(self, packet=start + self.packet[len(start) :])

    @property
    def room(self) -> int:
        """How many octets the asker takes over UDP."""
        if self.edns is None:
            return PLAIN_UDP_MAX
        return min(max(self.edns.size, PLAIN_UDP_MAX), UDP_MAX)


# ---- reading queries ----------------------------------------------------------------------------


def may_be_answered(packet: bytes) -> bool:
    """Whether this is a query at all. Replies are never replied to: two servers could go on
    forever.

    Less than a header has no id to answer under.
    """
    return len(packet) >= HEADER.size and not packet[2] & 0x80


def read_query(packet: bytes) -> Query:
    """Read a query strictly: one question without compression, at most one OPT record, nothing
    else.

    Raises Malformed. Opcode, class, type and EDNS version are the caller's business.
    """
    if len(packet) > QUERY_MAX:
        raise Malformed("too long")
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    # A TSIG or SIG(0) record is refused as well: RFC 8945, section 5.2, expects it of servers that
    # do not know it.
    if questions != 1 or answers or authorities or additionals > 1:
        raise Malformed("not one question")
    name_end = _skip_plain_name(packet, HEADER.size)
    end = name_end + _PAIR.size
    if end > len(packet):
        raise Malformed("no type and class")
    qtype, qclass = _PAIR.unpack_from(packet, name_end)
    edns = _read_opt(packet, end) if additionals else None
    if edns is None and end != len(packet):
        raise Malformed("octets behind the question")
    name = packet[HEADER.size : name_end].lower()
    return Query(packet, flags, name, qtype, qclass, end, edns)


def _skip_plain_name(packet: bytes, start: int) -> int:
    """The offset behind an uncompressed name."""
    at = start
    while at < len(packet):
        length = packet[at]
        at += length + 1
        if length > 63 or at - start > NAME_MAX:
            break
        if length == 0:
            return at
    raise Malformed("bad name")


def _read_opt(packet: bytes, at: int) -> Edns:
    """The one additional record, which has to be an OPT record and the end of the packet."""
    data = at + 1 + RECORD.size
    if data > len(packet) or packet[at] != 0:
        raise Malformed("not an OPT record")
    kind, size, extended, length = _RECORD_HEAD(packet, at + 1)
    if kind != Type.OPT or data + length != len(packet):
        raise Malformed("not an OPT record at the end")
    _check_options(packet, data)
    return Edns(size, extended >> 16 & 0xFF, bool(extended & 0x8000), length > 0)


def _check_options(packet: bytes, at: int) -> None:
    """Options are code, length, data (RFC 6891, section 6.1.2); they have to fill the record."""
    while at < len(packet):
        if at + _PAIR.size > len(packet):
            raise Malformed("cut option")
        at += _PAIR.size + _PAIR.unpack_from(packet, at)[1]
    if at != len(packet):
        raise Malformed("cut option")


# ---- names --------------------------------------------------------------------------------------


def name_from_text(text: str) -> bytes:
    """`db-primary.volt.local` as it is on the wire. Raises Invalid where it cannot be."""
    stripped = text[:-1] if text.endswith(".") else text
    labels = stripped.split(".") if stripped else []
    shown = text if len(text) <= 70 else text[:67] + "..."
    if not text.isascii():
        raise Invalid(f"{shown!r} is not a DNS name", "write it in ASCII, as in xn--...")
    if any(not 0 < len(label) < 64 for label in labels):
        raise Invalid(f"{shown!r} is not a DNS name", "labels have 1 to 63 characters")
    wire = name_from_labels(tuple(label.lower().encode() for label in labels))
    if len(wire) > NAME_MAX:
        raise Invalid(f"{shown!r} is not a DNS name", "a name has at most 253 characters")
    return wire


def name_from_labels(labels: tuple[bytes, ...]) -> bytes:
    """The wire form of labels that are known to be good."""
    return b"".join([bytes([len(label)]) + label for label in labels]) + b"\0"


def label(text: str) -> bytes:
    """The wire form of one label that is known to be good."""
    return len(text).to_bytes(1, "big") + text.encode()


def labels_of(name: bytes) -> tuple[bytes, ...]:
    """The labels of a well-formed wire name; () is the root."""
    labels = []
    at = 0
    while length := name[at]:
        labels.append(name[at + 1 : at + 1 + length])
        at += length + 1
    return tuple(labels)


def text_of(name: bytes) -> str:
    """A wire name for people, without the last dot; odd octets as \\DDD (RFC 1035, section 5.1)."""
    return ".".join("".join(map(_shown, label)) for label in labels_of(name)) or "."


def _shown(octet: int) -> str:
    plain = 0x21 <= octet <= 0x7E and octet not in b".\\"
    return chr(octet) if plain else f"\\{octet:03d}"


# ---- writing replies ----------------------------------------------------------------------------


def record(owner: bytes, rtype: int, ttl: int, data: bytes) -> bytes:
    """One resource record; `owner` is a wire name or QUESTION_NAME."""
    return owner + RECORD.pack(rtype, CLASS_IN, ttl, len(data)) + data


def opt_record(edns: Edns, rcode: int = 0, options: bytes = b"") -> bytes:
    """Our OPT record: our size, our version (0), the asker's DO bit, the upper half of `rcode`."""
    extended = rcode >> 4 << 24 | (0x8000 if edns.dnssec_ok else 0)
    return b"\0" + RECORD.pack(Type.OPT, UDP_MAX, extended, len(options)) + options


def reply_tail(
    query: Query,
    rcode: int = 0,
    answer: tuple[bytes, ...] = (),
    authority: tuple[bytes, ...] = (),
    flags: int = 0,
    options: bytes = b"",
) -> bytes:
    """A reply from its third octet on, with `flags` besides QR, RA and the asker's RD and CD.

    `options` are for those who sent EDNS.
    """
    head = QR | RA | flags | query.flags & (RD | CD) | rcode & 0xF
    opt = b"" if query.edns is None else opt_record(query.edns, rcode, options)
    counts = _COUNTS.pack(head, 1, len(answer), len(authority), 1 if opt else 0)
    return b"".join((counts, query.question, *answer, *authority, opt))


def truncated(query: Query, tail: bytes, room: int) -> bytes:
    """`tail` if it fits into a datagram of `room` octets, else its head with TC (ask over TCP).

    Nothing of the records is sent along: RFC 2181, section 9, has them ignored anyhow.
    """
    if len(tail) + 2 <= room:
        return tail
    flags = int.from_bytes(tail[:2], "big")
    return reply_tail(query, flags & 0xF, flags=flags & AA | TC)


def error_reply(packet: bytes, rcode: int) -> bytes:
    """A bare header: what can be said about a packet that could not be read."""
    flags = QR | RA | int.from_bytes(packet[2:4], "big") & (OPCODE | RD | CD) | rcode
    return packet[:2] + _COUNTS.pack(flags, 0, 0, 0, 0)


# ---- writing queries ----------------------------------------------------------------------------

_LETTERS = bytes(0x20 if chr(code).isalpha() and code < 128 else 0 for code in range(256))


def mix_case(name: bytes, entropy: bytes) -> bytes:
    """`name` with the case of its letters chosen by the bits of `entropy`, which is as long.

    A spoofer has to guess it too ("0x20", draft-vixie-dnsext-dns0x20).
    """
    flips = int.from_bytes(name.translate(_LETTERS), "big") & int.from_bytes(entropy, "big")
    return (int.from_bytes(name, "big") ^ flips).to_bytes(len(name), "big")


def question_of(name: bytes, qtype: int) -> bytes:
    """The question section for `name`, class IN."""
    return name + _PAIR.pack(qtype, CLASS_IN)


def query_packet(
    ident: bytes, question: bytes, flags: int, dnssec_ok: bool, edns: bool = True
) -> bytes:
    """A query of our own: recursion desired, an OPT record without options (so no ECS), if any."""
    opt = _OUR_OPT[dnssec_ok] if edns else b""
    return b"".join((ident, _COUNTS.pack(RD | flags, 1, 0, 0, edns), question, opt))


_OUR_OPT = tuple(opt_record(Edns(UDP_MAX, 0, dnssec_ok, False)) for dnssec_ok in (False, True))
