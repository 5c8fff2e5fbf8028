"""Reading queries strictly, writing replies that others can read."""

from __future__ import annotations

import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dns import wire
from volt_agent.dns.wire import Edns, Malformed, Rcode, Type
from volt_agent.errors import Invalid

from .world import packet, with_opt

PLAIN = packet("db.volt.local")
COOKIE = b"\0\x0a\0\x08abcdefgh"


def test_a_plain_query_is_read() -> None:
    """Name in lower case, type, class, flags, and the question as it was asked."""
    query = wire.read_query(packet("Db.Volt.LOCAL", "AAAA"))
    assert wire.text_of(query.name) == "db.volt.local"
    assert (query.qtype, query.qclass, query.edns) == (28, 1, None)
    assert query.flags & wire.RD
    assert query.question.startswith(b"\x02Db\x04Volt\x05LOCAL\0")


@pytest.mark.parametrize(
    ("query", "edns"),
    [
        (with_opt(PLAIN), Edns(1232, 0, False, False)),
        (with_opt(PLAIN, size=4096, do=True), Edns(4096, 0, True, False)),
        (with_opt(PLAIN, version=1), Edns(1232, 1, False, False)),
        (with_opt(PLAIN, options=COOKIE), Edns(1232, 0, False, True)),
        (with_opt(PLAIN, options=COOKIE + b"\0\x0c\0\0"), Edns(1232, 0, False, True)),
    ],
)
def test_the_opt_record_is_read(query: bytes, edns: Edns) -> None:
    """Size, version, DO, and whether there are options."""
    assert wire.read_query(query).edns == edns


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(PLAIN[:4] + b"\0\0" + PLAIN[6:], id="no question"),
        pytest.param(PLAIN[:4] + b"\0\2" + PLAIN[6:] + PLAIN[12:], id="two questions"),
        pytest.param(PLAIN[:6] + b"\0\1" + PLAIN[8:], id="an answer"),
        pytest.param(PLAIN[:8] + b"\0\1" + PLAIN[10:], id="an authority"),
        pytest.param(PLAIN[:-1], id="cut class"),
        pytest.param(PLAIN[:15], id="cut name"),
        pytest.param(PLAIN[:12], id="no name"),
        pytest.param(PLAIN + b"\0", id="octets behind"),
        pytest.param(PLAIN[:12] + b"\xc0\x0c\0\1\0\1", id="pointer to itself"),
        pytest.param(PLAIN[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", id="label of 64"),
        pytest.param(PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", id="name of 257"),
        pytest.param(with_opt(with_opt(PLAIN)), id="two OPT"),
        pytest.param(with_opt(PLAIN) + b"\0", id="octets behind OPT"),
        pytest.param(with_opt(PLAIN)[:-1], id="cut OPT"),
        pytest.param(with_opt(PLAIN, options=COOKIE[:-1]), id="cut option"),
        pytest.param(with_opt(PLAIN, options=COOKIE + b"\0\1\0"), id="cut option head"),
        pytest.param(with_opt(PLAIN)[:-11] + b"\1a" + with_opt(PLAIN)[-11:], id="OPT with a name"),
        pytest.param(with_opt(PLAIN)[:-10] + b"\0\xfa" + with_opt(PLAIN)[-8:], id="TSIG"),
        pytest.param(with_opt(PLAIN, options=b"\0\1" + b"\x10\0" + b"a" * 4096), id="too long"),
    ],
)
def test_anything_else_is_malformed(query: bytes) -> None:
    """One question without compression, at most one OPT record, nothing else."""
    with pytest.raises(Malformed):
        wire.read_query(query)


def test_the_longest_name_is_read() -> None:
    """RFC 1035, section 2.3.4: 255 octets."""
    name = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(name) == 255
    assert wire.read_query(PLAIN[:12] + name + b"\0\1\0\1").name == name


@pytest.mark.parametrize(
    ("packet_", "may"),
    [(PLAIN, True), (b"", False), (PLAIN[:11], False), (PLAIN[:2] + b"\x81" + PLAIN[3:], False)],
)
def test_only_queries_may_be_answered(packet_: bytes, may: bool) -> None:
    """A reply, or less than a header, gets none."""
    assert wire.may_be_answered(packet_) is may


@pytest.mark.parametrize(
    ("edns", "room"),
    [(None, 512), (0, 512), (511, 512), (513, 513), (1232, 1232), (65535, 1232)],
)
def test_room_is_what_the_asker_takes(edns: int | None, room: int) -> None:
    """512 without EDNS and at least; 1232 at most, so that nothing is fragmented."""
    query = PLAIN if edns is None else with_opt(PLAIN, size=edns)
    assert wire.read_query(query).room == room


def test_a_reply_reads_back() -> None:
    """dnslib finds the question, the records, the flags and OPT where they belong."""
    query = wire.read_query(with_opt(packet("Db.volt.local", cd=1), do=True))
    record = wire.record(wire.QUESTION_NAME, Type.A, 5, bytes([10, 30, 0, 5]))
    tail = wire.reply_tail(query, Rcode.NOERROR, (record,), (), wire.AA)
    reply = DNSRecord.parse(query.packet[:2] + tail)
    header = reply.header
    assert (header.id, header.qr, header.aa, header.rd, header.ra, header.cd) == (0x1234, *[1] * 5)
    assert (str(reply.q.qname), str(reply.rr[0].rdata), reply.rr[0].ttl) == (
        "Db.volt.local.",
        "10.30.0.5",
        5,
    )
    assert (reply.ar[0].edns_len, reply.ar[0].edns_ver, reply.ar[0].edns_do) == (1232, 0, 1)


def test_an_extended_rcode_is_split() -> None:
    """RFC 6891, section 6.1.3: four bits in the header, eight in OPT."""
    query = wire.read_query(with_opt(PLAIN, version=1))
    reply = DNSRecord.parse(PLAIN[:2] + wire.reply_tail(query, Rcode.BADVERS))
    assert (reply.header.rcode, reply.ar[0].edns_rcode, reply.ar[0].edns_ver) == (0, 1, 0)


def test_a_reply_that_does_not_fit_is_cut_to_its_head() -> None:
    """TC, the question, no records."""
    query = wire.read_query(PLAIN)
    records = (wire.record(wire.QUESTION_NAME, Type.A, 5, bytes(4)),) * 40
    tail = wire.reply_tail(query, 0, records, (), wire.AA)
    assert wire.truncated(query, tail, len(tail) + 2) is tail
    reply = DNSRecord.parse(PLAIN[:2] + wire.truncated(query, tail, 512))
    assert (reply.header.tc, reply.header.aa, reply.rr, str(reply.q.qname)) == (
        1,
        1,
        [],
        "db.volt.local.",
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("db", b"\2db\0"),
        ("DB.Volt.local.", b"\2db\4volt\5local\0"),
        (".", b"\0"),
        ("", b"\0"),
    ],
)
def test_names_from_text(text: str, name: bytes) -> None:
    """Lower case, with or without the last dot."""
    assert wire.name_from_text(text) == name


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64, ".".join(["a" * 63] * 4), "münchen"])
def test_what_is_no_name(text: str) -> None:
    """Empty labels, labels over 63, names over 253, other alphabets."""
    with pytest.raises(Invalid):
        wire.name_from_text(text)


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_labels_come_back(labels: list[bytes]) -> None:
    """Any labels survive the way to the wire and back."""
    assert wire.labels_of(wire.name_from_labels(tuple(labels))) == tuple(labels)


def test_odd_octets_are_shown() -> None:
    """RFC 1035, section 5.1: \\DDD."""
    assert wire.text_of(b"\3a.\xff\1b\0") == "a\\046\\255.b"


@given(st.binary(min_size=13, max_size=13))
def test_mixing_case_changes_letters_only(entropy: bytes) -> None:
    """Every letter may change its case, nothing else may change."""
    name = b"\3a-9\7example\0"
    mixed = wire.mix_case(name, entropy)
    assert mixed.lower() == name
    assert len(mixed) == len(name)


def test_all_letters_can_be_mixed() -> None:
    """The bits that decide are those that letters differ by."""
    assert wire.mix_case(b"\3aZ9\0", b"\xff" * 5) == b"\3Az9\0"


@given(st.binary(max_size=600))
def test_octets_are_read_or_malformed(octets: bytes) -> None:
    """The reader raises Malformed and nothing else."""
    if not wire.may_be_answered(octets):
        return
    try:
        query = wire.read_query(octets)
    except Malformed:
        return
    assert octets[12 : query.end] == query.question


@given(st.binary(min_size=5, max_size=60), st.booleans())
def test_what_is_read_dnslib_reads_the_same(body: bytes, edns: bool) -> None:
    """The strict reader accepts nothing that a lax one understands otherwise."""
    octets = b"\0\1\1\0\0\1\0\0\0\0\0\0" + body
    octets = with_opt(octets) if edns else octets
    try:
        query = wire.read_query(octets)
    except Malformed:
        return
    theirs = DNSRecord.parse(octets)
    assert tuple(theirs.q.qname.label) == wire.labels_of(query.question)
    assert (theirs.q.qtype, theirs.q.qclass) == (query.qtype, query.qclass)
