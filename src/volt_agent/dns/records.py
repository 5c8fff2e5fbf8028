"""The records of an upstream server's message, and which of them belong to the question.

A reply may carry anything: records that nobody asked for, by mistake or to have them believed. What
is passed on is what leads from the question's name to its answer, and what proves that there is
none; never the additional section, which is a courtesy (RFC 2181, section 5.4.1; RFC 5452, section
6). Records stay as they are, so that types nobody here has heard of pass through.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from typing import NamedTuple

from . import wire
from .wire import CLASS_IN, HEADER, NAME_MAX, QUESTION_NAME, RECORD, Malformed, Type

# A record costs some microseconds to read, on the loop. The longest replies in practice, of DNS
# service discovery and block lists, have a few hundred.
RECORDS_MAX = 1000
# Compression pointers for one name. Each leads to an earlier name, so a few do in practice; without
# a bound a message of 64 KiB could have 30,000 for each of its names.
_POINTERS_MAX = 32
# What a message over TCP can hold; names that are written out take more room than before.
_MESSAGE_MAX = 65_535

CNAME, DNAME, RRSIG, NSEC, NSEC3 = 5, 39, 46, 47, 50
_ADDRESSES = (Type.A, 28)
# SVCB and HTTPS tell addresses as hints (RFC 9460, section 7.3): key -> octets of one address.
_SERVICES = (64, 65)
_HINTS = {4: 4, 6: 16}
_PARAMETER = Layout("!HH")
_PROOFS = (RRSIG, NSEC, NSEC3)
# Types whose data may have compressed names (RFC 3597, section 4): octets before them, how many.
_NAMES_IN_DATA = {
    2: (0, 1), 3: (0, 1), 4: (0, 1), CNAME: (0, 1), 6: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1),
    12: (0, 1), 14: (0, 2), 15: (2, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 26: (2, 2), 30: (0, 1),
    33: (6, 1), 36: (2, 1), DNAME: (0, 1),
}  # fmt: skip


class Record(NamedTuple):
    """Where a record stands in its message; `owner` is written out, in lower case.

    It goes from `start` to `end`; its data begin at `data`, its TTL at `ttl_at`.
    """

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    start: int
    ttl_at: int
    data: int
    end: int


class Names:
    """Reads the names of one message; what several names point at is read once."""

    def __init__(self, packet: bytes, question: bytes) -> None:
        """`question` is the name in the question, in lower case."""
        self.packet = packet
        self.question = question
        self._known = {HEADER.size: question}

    def read(self, at: int) -> tuple[bytes, int]:
        """The name at `at`, in full and lower case, and the offset behind it. Raises Malformed."""
        try:
            return self._read(at)
        except IndexError:
            raise Malformed("cut name") from None

    def _read(self, at: int) -> tuple[bytes, int]:
        packet, first, parts, behind = self.packet, -1, [], 0
        for _ in range(_POINTERS_MAX):
            stop = self._skip_labels(at)
            parts.append(packet[at:stop])
            if not packet[stop]:
                name = self._joined(parts)
                break
            target = (packet[stop] & 0x3F) << 8 | packet[stop + 1]
            behind = behind or stop + 2
            known = self._known.get(target)
            if known is not None:
                name = self._joined([*parts, known[:-1]])
                break
            if target >= at:  # RFC 1035, section 4.1.4: to a prior occurrence
                raise Malformed("a pointer that leads forward")
            first, at = target if first < 0 else first, target
        else:
            raise Malformed("too many pointers")
        if first >= 0:
            self._known[first] = name[len(parts[0]) :]
        return name, behind or stop + 1

    def _skip_labels(self, at: int) -> int:
        """The offset of the zero octet or pointer that ends the labels at `at`."""
        packet = self.packet
        while 0 < (length := packet[at]) < 64:
            at += length + 1
        if 64 <= length < 0xC0:
            raise Malformed("bad label")
        return at

    @staticmethod
    def _joined(parts: list[bytes]) -> bytes:
        name = b"".join(parts).lower() + b"\0"
        if len(name) > NAME_MAX:
            raise Malformed("name too long")
        return name


def read_records(names: Names, at: int, count: int) -> list[Record]:
    """`count` records from `at` on, in order; Raises Malformed."""
    if count > RECORDS_MAX:
        raise Malformed("too many records")
    packet, size, unpack = names.packet, len(names.packet), RECORD.unpack_from
    records = []
    for _ in range(count):
        start = at
        # These two are nearly all there is: the name in the question, and the root (of OPT).
        if packet[at : at + 2] == QUESTION_NAME:
            owner, fixed = names.question, at + 2
        elif packet[at : at + 1] == b"\0":
            owner, fixed = b"\0", at + 1
        else:
            owner, fixed = names.read(at)
        data = fixed + RECORD.size
        if data > size:
            raise Malformed("cut record")
        rtype, rclass, ttl, length = unpack(packet, fixed)
        at = data + length
        if at > size:
            raise Malformed("cut record")
        records.append(Record(owner, rtype, rclass, ttl, start, fixed + 4, data, at))
    return records


def relevant(
    names: Names, answers: list[Record], authority: list[Record], dnssec_ok: bool
) -> tuple[list[Record], list[Record]]:
    """What of the answer and authority sections belongs to the question.

    Of the answers: what the name and its aliases own. Of the authority: the SOA of a zone that
    holds the last alias and, for those who check them, the signed proofs of DNSSEC. Raises
    Malformed.
    """
    question = names.question
    for each in answers:
        if each.owner != question or each.rtype == CNAME or each.rclass != CLASS_IN:
            kept, last = _on_the_way(names, answers)
            break
    else:
        kept, last = answers, question  # by far the most
    wanted = _PROOFS if dnssec_ok else ()
    proofs = [
        each
        for each in authority
        if each.rclass == CLASS_IN
        and (each.rtype in wanted or (each.rtype == Type.SOA and _holds(each.owner, last)))
    ]
    return kept, proofs


def _on_the_way(names: Names, answers: list[Record]) -> tuple[list[Record], bytes]:
    """The answers that lead from the question to its last alias, and that alias."""
    chain = _aliases(names, answers)
    ours = frozenset(chain)
    return [each for each in answers if each.rclass == CLASS_IN and _leads(each, ours)], chain[-1]


def _aliases(names: Names, answers: list[Record]) -> list[bytes]:
    """The name in the question, and those that it is an alias of, one after the other."""
    targets: dict[bytes, int] = {}
    for each in answers:
        if each.rtype == CNAME:
            targets.setdefault(each.owner, each.data)
    name = names.question
    chain = {name: None}
    while (at := targets.get(name)) is not None:
        name, _ = names.read(at)
        if name in chain:
            break
        chain[name] = None
    return list(chain)


def _leads(record: Record, chain: frozenset[bytes]) -> bool:
    """Whether a record of the answer section is part of the way to the answer."""
    if record.owner in chain:
        return True
    # RFC 6672: a DNAME stands above the names that it gives aliases to.
    return record.rtype in (DNAME, RRSIG) and any(_holds(record.owner, each) for each in chain)


def _holds(zone: bytes, name: bytes) -> bool:
    """Whether `name` is `zone` or below it. Both are well-formed and in lower case."""
    if not name.endswith(zone):
        return False
    at, start = 0, len(name) - len(zone)
    while at < start:
        at += name[at] + 1
    return at == start


def addresses_in(packet: bytes, records: list[Record]) -> tuple[bytes, ...]:
    """The addresses (4 or 16 octets each) that `records` of `packet` tell, hints included."""
    found = [packet[each.data : each.end] for each in records if each.rtype in _ADDRESSES]
    for each in records:
        if each.rtype in _SERVICES:
            found += _hints(packet[each.data : each.end])
    return tuple(found)


def _hints(data: bytes) -> Iterator[bytes]:
    """The address hints in SVCB data: priority, target, parameters (RFC 9460, section 2.2).

    What cannot be read has none: no client can read it either.
    """
    at = _behind_target(data)
    while at + _PARAMETER.size <= len(data):
        key, length = _PARAMETER.unpack_from(data, at)
        at += _PARAMETER.size
        size = _HINTS.get(key)
        if size is not None:
            value = data[at : at + length]
            yield from (value[each : each + size] for each in range(0, len(value), size))
        at += length


def _behind_target(data: bytes) -> int:
    """Where the parameters begin. The target must not be compressed; some clients take it so."""
    at = 2
    while at < len(data) and 0 < data[at] < 64:
        at += data[at] + 1
    return at + 1 if at < len(data) and data[at] == 0 else at + 2


def octets_of(names: Names, kept: list[Record], start: int) -> tuple[bytes, list[int]]:
    """The `kept` records as they stand from `start` on, and where the TTL of each is in them.

    They are copied as they are if nothing is missing between them; else with all names written
    out, because a name may point into what is missing. Raises Malformed.
    """
    at = start
    for each in kept:
        if each.start != at:
            break
        at = each.end
    else:
        return names.packet[start:at], [each.ttl_at - start for each in kept]
    body, ttls = bytearray(), []
    for each in kept:
        owner, data = _written_out(names, each)
        ttls.append(len(body) + len(owner) + 4)
        body += owner + RECORD.pack(each.rtype, each.rclass, each.ttl, len(data)) + data
    if start + len(body) > _MESSAGE_MAX - wire.UDP_MAX:
        raise Malformed("too long when written out")
    return bytes(body), ttls


def _written_out(names: Names, record: Record) -> tuple[bytes, bytes]:
    """Owner and data of a record without pointers to other records."""
    packet, at = names.packet, record.data
    owner = QUESTION_NAME if record.owner == names.question else record.owner
    before, count = _NAMES_IN_DATA.get(record.rtype, (0, 0))
    parts = [packet[at : at + before]]
    at += before
    for _ in range(count):
        name, at = names.read(at)
        parts.append(name)
    if at > record.end:
        raise Malformed("a name that leaves its record")
    return owner, b"".join(parts) + packet[at : record.end]
