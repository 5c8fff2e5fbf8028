"""What upstream servers say: read just enough to pass it on unchanged and to let it age.

The records that belong to the question stay octets (`records` tells which those are). Only three
things are touched: the OPT record is ours to write for each asker (RFC 6891, section 6.1.1: hop by
hop), the TTLs count down, and the question comes back in the asker's own mix of cases. The question
is as long as before, so compression pointers to it stay right.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final

from . import extended, wire
from .records import Names, Record, addresses_in, octets_of, read_records, relevant
from .wire import HEADER, Malformed, Query, Rcode, Type

# An answer is believed no longer than this (seconds), whatever its TTL says: an hour, as in
# systemd-resolved and aardvark rather than unbound's day, because memory is small here. Negative
# ones shorter: RFC 2308, section 5, knows of trouble beyond hours, and new names should appear.
LONGEST_LIFE = 3600
LONGEST_NEGATIVE_LIFE = 300
# RFC 8767, section 4: the TTL under which an answer is told that should not be used any more.
STALE_TTL = 30

# In the third octet: a reply to an ordinary query.
_KIND, _REPLY = (wire.QR | wire.OPCODE) >> 8, wire.QR >> 8
_ONE_QUESTION = b"\0\1"
_NOT_UNDERSTOOD = (Rcode.FORMERR, Rcode.NOTIMP)
_COUNTS = Layout("!HHHHH")
_TTL: Final = Layout("!I").pack_into
_MINIMUM: Final = Layout("!I").unpack_from
_ADDRESSES = (1, 28)  # the types A and AAAA
# A record whose owner is a pointer to the name in the question: that, and class IN.
_PLAIN: Final = Layout("!HHHIH")
_PLAINLY = (0xC00C, wire.CLASS_IN)
_PLAIN_MAX = 16  # such records


class Relayed:
    """An upstream server's reply: `rcode` with its extension, `life` in seconds (0: do not cache).

    `arrived` is on the monotonic clock. `body` are the records that belong to the question;
    `addresses` what those of type A and AAAA say, and the hints of SVCB and HTTPS; `extended` is
    the server's extended error.
    """

    __slots__ = (
        "_counts",
        "_ttls",
        "addresses",
        "arrived",
        "body",
        "extended",
        "flags",
        "life",
        "rcode",
    )

    def __init__(
        self, packet: bytes, question_end: int, arrived: float, dnssec_ok: bool = False
    ) -> None:
        """Read `packet`, whose question has been matched already. Raises Malformed.

        `dnssec_ok` is whether signatures were asked for. A cut message may be cut anywhere, so
        whoever gets Malformed looks at TC, too.
        """
        _, self.flags, _, answers, authorities, additionals = HEADER.unpack_from(packet)
        self.arrived = arrived
        if not self._is_plain(packet, question_end, answers, authorities, additionals):
            self._read(packet, question_end, (answers, authorities, additionals), dnssec_ok)

    def _is_plain(
        self, packet: bytes, at: int, answers: int, authorities: int, additionals: int
    ) -> bool:
        """Read the plainest of replies, as most are; False, and nothing is read, for any other.

        Addresses of the name in the question, and at most an OPT record that says nothing: this
        takes a third of the time.
        """
        start, size, ttls, addresses = at, len(packet), [], []
        if not 0 < answers <= _PLAIN_MAX or authorities or self.flags & 0xF:
            return False
        for _ in range(answers):
            data = at + _PLAIN.size
            if data > size:
                return False
            owner, rtype, rclass, ttl, length = _PLAIN.unpack_from(packet, at)
            if (owner, rclass) != _PLAINLY or rtype not in _ADDRESSES or ttl > LONGEST_LIFE:
                return False
            ttls.append((at + 6 - start, ttl))
            at = data + length
            addresses.append(packet[data:at])
        if not _is_silent_opt(packet[at:]) if additionals else at != size:
            return False
        self.rcode: int = 0
        self.body = packet[start:at]
        self.extended: int | None = None
        self._counts, self._ttls, self.addresses = (answers, 0), tuple(ttls), tuple(addresses)
        self.life: int = min([ttl for _, ttl in ttls])
        return True

    def _read(
        self, packet: bytes, question_end: int, counts: tuple[int, int, int], dnssec_ok: bool
    ) -> None:
        """Read any reply. Raises Malformed."""
        answers, authorities, additionals = counts
        names = Names(packet, packet[HEADER.size : question_end - 4].lower())
        records = read_records(names, question_end, answers + authorities + additionals)
        extension, self.extended = _opt(packet, records, answers + authorities)
        told, proofs = relevant(
            names, records[:answers], records[answers : answers + authorities], dnssec_ok
        )
        self.rcode = self.flags & 0xF | extension << 4
        if answers and not told and not self.is_failure:
            raise Malformed("answers another question")
        self.life = _life(self.rcode, packet, told, proofs)
        kept = told + proofs if proofs else told
        self.addresses = addresses_in(packet, told)
        self.body, places = octets_of(names, kept, question_end)
        self._counts = (len(told), len(proofs))
        lives = [each.ttl for each in kept]
        if lives and max(lives) > LONGEST_LIFE:
            lives = [min(_bounded(each), LONGEST_LIFE) for each in lives]
            self._ttls = tuple(zip(places, lives, strict=True))
            self.body = self._with_ttls(0)
        else:
            self._ttls = tuple(zip(places, lives, strict=True))

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
        """The records with their TTLs counted down to `now`."""
        seconds = int(now - self.arrived)
        return self._with_ttls(seconds) if seconds else self.body

    def tail_for(self, query: Query) -> Tail:
        """The reply to `query`, ready to be sent now and again."""
        option = b"" if self.extended is None else extended.option(self.extended)
        return Tail(self, *self._frame(query, option))

    def stale_tail_for(self, query: Query) -> bytes:
        """The reply to `query` when this is all there is, although its time is over (RFC 8767)."""
        is_negative = self.rcode == Rcode.NXDOMAIN
        code = extended.Info.STALE_NXDOMAIN if is_negative else extended.Info.STALE_ANSWER
        head, opt = self._frame(query, extended.option(code))
        body = bytearray(self.body)
        for at, _ in self._ttls:
            _TTL(body, at, STALE_TTL)
        return b"".join((head, body, opt))

    def _frame(self, query: Query, option: bytes) -> tuple[bytes, bytes]:
        """What stands before and behind the records."""
        ad = self.flags & wire.AD if _wants_ad(query) else 0
        asked = query.flags & (wire.RD | wire.CD)
        flags = wire.QR | wire.RA | asked | ad | self.flags & wire.TC | self.rcode & 0xF
        opt = b"" if query.edns is None else wire.opt_record(query.edns, self.rcode, option)
        counts = _COUNTS.pack(flags, 1, *self._counts, bool(opt))
        return counts + query.question, opt

    def _with_ttls(self, seconds: int) -> bytes:
        """The records with the TTLs as they are `seconds` after they came."""
        aged = bytearray(self.body)
        for at, ttl in self._ttls:
            _TTL(aged, at, ttl - seconds if ttl > seconds else 0)
        return bytes(aged)


class Tail:
    """A relayed reply in one asker's form, without its id. It ages, and dies with its TTL."""

    __slots__ = ("_head", "_octets", "_opt", "_relayed", "_until")

    def __init__(self, relayed: Relayed, head: bytes, opt: bytes) -> None:
        self._relayed = relayed
        self._head = head
        self._opt = opt
        self._until = 0.0
        self._octets: bytes | None = None

    def at(self, now: float) -> bytes | None:
        """The tail as it has to read at `now`; None when its time is over."""
        if now >= self._until:  # put together once a second
            self._renew(now)
        return self._octets

    def first(self, now: float) -> tuple[bytes, bool]:
        """The same, even of a reply that may not be cached; and whether it may."""
        octets = self.at(now)
        return (self._made(now), False) if octets is None else (octets, True)

    def now(self, now: float) -> bytes:
        """The same, even of a reply that may not be cached."""
        return self.first(now)[0]

    def _made(self, now: float) -> bytes:
        return self._head + self._relayed.body_at(now) + self._opt

    def _renew(self, now: float) -> None:
        relayed = self._relayed
        if not relayed.is_alive(now):
            self._octets = None
            return
        self._octets = self._made(now)
        # Lives are whole seconds, so the next change of a TTL comes no later than the end.
        self._until = relayed.arrived + int(now - relayed.arrived) + 1


def matches(packet: bytes, ident: bytes, question: bytes) -> bool:
    """Whether `packet` is a reply to what was asked, including the case of every letter."""
    return (
        packet[HEADER.size : HEADER.size + len(question)] == question
        and packet[:2] == ident
        and packet[2] & _KIND == _REPLY
        and packet[4:6] == _ONE_QUESTION
    )


def matches_but_for_case(packet: bytes, ident: bytes, question: bytes) -> bool:
    """Whether it is a reply from a server that does not give back the case of the letters."""
    end = HEADER.size + len(question)
    return _is_reply(packet, ident) and packet[HEADER.size : end].lower() == question.lower()


def refuses_edns(packet: bytes, ident: bytes, question: bytes) -> bool:
    """Whether a server does not know EDNS: it gives an error and no OPT record (RFC 6891, section
    7). Some of those give nothing but the header.
    """
    if not _has_reply_header(packet, ident) or packet[3] & 0xF not in _NOT_UNDERSTOOD:
        return False
    has_opt_perhaps = packet[10:12] != b"\0\0"
    is_bare = len(packet) == HEADER.size
    return not has_opt_perhaps and (is_bare or matches_but_for_case(packet, ident, question))


def _is_reply(packet: bytes, ident: bytes) -> bool:
    return _has_reply_header(packet, ident) and packet[4:6] == _ONE_QUESTION


def _has_reply_header(packet: bytes, ident: bytes) -> bool:
    if len(packet) < HEADER.size or packet[:2] != ident:
        return False
    return packet[2] & _KIND == _REPLY


def _wants_ad(query: Query) -> bool:
    """RFC 6840, section 5.7: AD is for those who set AD or DO."""
    return bool(query.flags & wire.AD) or (query.edns is not None and query.edns.dnssec_ok)


def _opt(packet: bytes, records: list[Record], additional_at: int) -> tuple[int, int | None]:
    """The extension of the rcode and the extended error that the OPT record carries, if any."""
    kinds = [each.rtype for each in records]
    if Type.OPT not in kinds:
        return 0, None
    index = kinds.index(Type.OPT)
    if index < additional_at:  # RFC 6891, section 6.1.1
        raise Malformed("an OPT record in the wrong section")
    opt = records[index]
    code = extended.code_in(packet[opt.data : opt.end]) if opt.end > opt.data else None
    return opt.ttl >> 24, code


def _is_silent_opt(octets: bytes) -> bool:
    """Whether this is just an OPT record without options and without an extension of the rcode."""
    return (
        len(octets) == 11 and octets[:3] == b"\0\0\x29" and octets[5] == 0 and octets[9:] == b"\0\0"
    )


def _life(rcode: int, packet: bytes, answers: list[Record], authority: list[Record]) -> int:
    """For how many seconds the reply may be used again; failures are not for the cache."""
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return 0
    lives = [_bounded(each.ttl) for each in answers]
    lives.append(LONGEST_LIFE)
    # RFC 2308, section 5: the lesser of the SOA's TTL and its MINIMUM field. An alias may stand
    # before what is not there (section 2.1), so both may count.
    for each in authority:
        if each.rtype == Type.SOA and each.end - each.data >= 20:
            minimum = _bounded(_MINIMUM(packet, each.end - 4)[0])
            lives.append(min(LONGEST_NEGATIVE_LIFE, _bounded(each.ttl), minimum))
            return min(lives)
    # What is not there without a SOA is not cached at all.
    return min(lives) if answers and rcode == Rcode.NOERROR else 0


def _bounded(ttl: int) -> int:
    """RFC 2181, section 8: a TTL with the highest bit set counts as zero."""
    return ttl if ttl < 1 << 31 else 0
