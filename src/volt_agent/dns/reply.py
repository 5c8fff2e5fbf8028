"""What upstream servers say: read just enough to pass it on unchanged and to let it age.

The records stay octets, so that types nobody here has heard of pass through. Only three things are
touched: the OPT record is ours to write for each asker (RFC 6891, section 6.1.1: hop by hop), the
TTLs count down, and the question comes back in the asker's own mix of cases. The question is as
long as before, so compression pointers stay right.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final, NamedTuple

from . import wire
from .wire import HEADER, Malformed, Query, Rcode, Type

# An answer is believed no longer than this (seconds), whatever its TTL says: an hour, as in
# systemd-resolved and aardvark rather than unbound's day, because memory is small here. Negative
# ones shorter: RFC 2308, section 5, knows of trouble beyond hours, and new names should appear.
LONGEST_LIFE = 3600
LONGEST_NEGATIVE_LIFE = 300

# A record costs a microsecond or two to read, on the loop. The longest replies in practice, of DNS
# service discovery and block lists, have a few hundred.
RECORDS_MAX = 1000

_RECORD = wire.RECORD
_COUNTS = Layout("!HHHHH")
_TTL: Final = Layout("!I").pack_into
_MINIMUM: Final = Layout("!I").unpack_from


class Record(NamedTuple):
    """Where a record stands: its type, its TTL, where that TTL is, where its data begin and end."""

    rtype: int
    ttl: int
    ttl_at: int
    data: int
    end: int


class Relayed:
    """An upstream server's reply: `rcode` with its extension, `life` in seconds (0: do not cache).

    `arrived` is on the monotonic clock. `body` are all records but OPT.
    """

    __slots__ = (
        "_aged",
        "_counts",
        "_second",
        "_ttls",
        "arrived",
        "body",
        "flags",
        "life",
        "rcode",
    )

    def __init__(self, packet: bytes, question_end: int, arrived: float) -> None:
        """Read `packet`, whose question has been matched already. Raises Malformed."""
        _, self.flags, _, answers, authorities, additionals = HEADER.unpack_from(packet)
        records = _read_records(packet, question_end, answers + authorities + additionals)
        kept, extension = _without_opt(records, answers + authorities)
        end = kept[-1].end if kept else question_end
        self.rcode = self.flags & 0xF | extension << 4
        self.arrived = arrived
        self.body = packet[question_end:end]
        self.life = _life(self.rcode, packet, kept[:answers], kept[answers : answers + authorities])
        self._counts = (answers, authorities, len(kept) - answers - authorities)
        self._ttls = tuple((each.ttl_at - question_end, each.ttl) for each in kept)
        self._second = 0
        self._aged = self.body

    def __repr__(self) -> str:
        return f"<Relayed {self.rcode} [{self._counts} records, {self.life} s]>"

    @property
    def is_truncated(self) -> bool:
        return bool(self.flags & wire.TC)

    @property
    def is_failure(self) -> bool:
        """Whether another server may do better: this one could not or would not answer."""
        return self.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN)

    def is_alive(self, now: float) -> bool:
        return now - self.arrived < self.life

    def body_at(self, now: float) -> bytes:
        """The records with their TTLs counted down to `now`. Counted once a second."""
        second = int(now - self.arrived)
        if second != self._second:
            aged = bytearray(self.body)
            for at, ttl in self._ttls:
                _TTL(aged, at, max(ttl - second, 0))
            self._second, self._aged = second, bytes(aged)
        return self._aged

    def tail_for(self, query: Query) -> Tail:
        """The reply to `query`, ready to be sent now and again."""
        ad = self.flags & wire.AD if _wants_ad(query) else 0
        asked = query.flags & (wire.RD | wire.CD)
        flags = wire.QR | wire.RA | asked | ad | self.flags & wire.TC | self.rcode & 0xF
        opt = b"" if query.edns is None else wire.opt_record(query.edns, self.rcode)
        answers, authorities, additionals = self._counts
        counts = _COUNTS.pack(flags, 1, answers, authorities, additionals + bool(opt))
        return Tail(self, counts + query.question, opt)


class Tail:
    """A relayed reply in one asker's form, without its id. It ages, and dies with its TTL."""

    __slots__ = ("_head", "_opt", "_relayed")

    def __init__(self, relayed: Relayed, head: bytes, opt: bytes) -> None:
        self._relayed = relayed
        self._head = head
        self._opt = opt

    def at(self, now: float) -> bytes | None:
        """The tail as it has to read at `now`."""
        return self.now(now) if self._relayed.is_alive(now) else None

    def now(self, now: float) -> bytes:
        """The same, even of a reply that may not be cached."""
        return self._head + self._relayed.body_at(now) + self._opt


def matches(packet: bytes, ident: bytes, question: bytes) -> bool:
    """Whether `packet` is a reply to what was asked, including the case of every letter."""
    end = HEADER.size + len(question)
    return _is_reply(packet, ident) and packet[HEADER.size : end] == question


def matches_but_for_case(packet: bytes, ident: bytes, question: bytes) -> bool:
    """Whether it is a reply from a server that does not give back the case of the letters."""
    end = HEADER.size + len(question)
    return _is_reply(packet, ident) and packet[HEADER.size : end].lower() == question.lower()


def _is_reply(packet: bytes, ident: bytes) -> bool:
    if len(packet) < HEADER.size or packet[:2] != ident:
        return False
    is_answer = packet[2] & (wire.QR | wire.OPCODE) >> 8 == wire.QR >> 8
    return is_answer and packet[4:6] == b"\0\1"  # one question


def _wants_ad(query: Query) -> bool:
    """RFC 6840, section 5.7: AD is for those who set AD or DO."""
    return bool(query.flags & wire.AD) or (query.edns is not None and query.edns.dnssec_ok)


def _read_records(packet: bytes, at: int, count: int) -> list[Record]:
    """All records, in order. The packet has to hold them all; octets behind them are dropped."""
    if count > RECORDS_MAX:
        raise Malformed("too many records")
    records = []
    size = len(packet)
    for _ in range(count):
        at = _skip_name(packet, at)
        data = at + _RECORD.size
        if data > size:
            raise Malformed("cut record")
        rtype, _, ttl, length = _RECORD.unpack_from(packet, at)
        end = data + length
        if end > size:
            raise Malformed("cut record")
        records.append(Record(rtype, ttl, at + 4, data, end))
        at = end
    return records


def _skip_name(packet: bytes, at: int) -> int:
    """The offset behind a name that may end in a compression pointer (RFC 1035, section 4.1.4)."""
    while at < len(packet):
        length = packet[at]
        if length >= 0xC0:
            return at + 2
        if length > 63:
            break
        at += length + 1
        if length == 0:
            return at
    raise Malformed("bad name")


def _without_opt(records: list[Record], additional_at: int) -> tuple[list[Record], int]:
    """The records up to OPT, and the extension of the rcode that OPT carries.

    OPT is nearly always the last one. What follows it goes too: later records cannot be moved,
    because others may point into them, and the additional section is a courtesy.
    """
    for index, record in enumerate(records):
        if record.rtype == Type.OPT:
            if index < additional_at:
                raise Malformed("an OPT record in the wrong section")
            return records[:index], record.ttl >> 24
    return records, 0


def _life(rcode: int, packet: bytes, answers: list[Record], authority: list[Record]) -> int:
    """For how many seconds the reply may be used again; failures are not for the cache."""
    if rcode == Rcode.NOERROR and answers:
        return min(LONGEST_LIFE, *(_bounded(each.ttl) for each in answers))
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return 0
    # RFC 2308, section 5: the lesser of the SOA's TTL and its MINIMUM field; without SOA not at
    # all.
    for each in authority:
        if each.rtype == Type.SOA and each.end - each.data >= 20:
            minimum = _MINIMUM(packet, each.end - 4)[0]
            return min(LONGEST_NEGATIVE_LIFE, _bounded(each.ttl), _bounded(minimum))
    return 0


def _bounded(ttl: int) -> int:
    """RFC 2181, section 8: a TTL with the highest bit set counts as zero."""
    return ttl if ttl < 1 << 31 else 0
