"""Reading upstream replies, and passing them on."""

from __future__ import annotations

import pytest
from dnslib import AAAA, CNAME, EDNS0, NS, QTYPE, RR, SOA, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dns import wire
from volt_agent.dns.reply import (
    LONGEST_LIFE,
    LONGEST_NEGATIVE_LIFE,
    Relayed,
    matches,
    matches_but_for_case,
)
from volt_agent.dns.wire import Malformed

from .world import packet, with_opt

QUESTION = packet("WWW.example.com")
PLAIN = wire.read_query(packet("www.Example.com"))
ASKED_WITH_OPT = wire.read_query(with_opt(packet("www.example.com"), do=True))
END = PLAIN.end


def upstream_reply(*records: RR, rcode: int = 0, opt: bool = True, **header: int) -> bytes:
    """What a server would say to QUESTION: `records` are answers, but for SOA and NS."""
    reply = DNSRecord.parse(QUESTION).reply(ra=1, aa=0)
    reply.header.rcode = rcode
    for key, value in header.items():
        setattr(reply.header, key, value)
    for each in records:
        is_authority = each.rtype in (QTYPE.SOA, QTYPE.NS)
        (reply.add_auth if is_authority else reply.add_answer)(each)
    if opt:
        reply.add_ar(EDNS0(udp_len=4096, flags="do"))
    return bytes(reply.pack())


def address(ttl: int) -> RR:
    return RR("www.example.com", QTYPE.A, ttl=ttl, rdata=A("192.0.2.1"))


def soa(ttl: int, minimum: int) -> RR:
    return RR("example.com", QTYPE.SOA, ttl=ttl, rdata=SOA("a.b", "c.d", (1, 2, 3, 4, minimum)))


CHAIN = upstream_reply(
    RR("www.example.com", QTYPE.CNAME, ttl=300, rdata=CNAME("edge.example.com")),
    RR("edge.example.com", QTYPE.A, ttl=30, rdata=A("192.0.2.1")),
    RR("edge.example.com", QTYPE.AAAA, ttl=60, rdata=AAAA("2001:db8::1")),
    RR("example.com", QTYPE.NS, ttl=10, rdata=NS("ns.example.com")),
)


def read(reply: bytes, arrived: float = 1000.0) -> Relayed:
    return Relayed(reply, END, arrived)


def passed_on(reply: bytes, query: wire.Query = PLAIN, later: float = 0.0) -> DNSRecord:
    tail = read(reply).tail_for(query).now(1000.0 + later)
    return DNSRecord.parse(query.packet[:2] + tail)


def test_records_are_passed_on() -> None:
    """Those that lead to the answer, under the asker's id and in his mix of cases."""
    reply = passed_on(CHAIN)
    assert (reply.header.id, str(reply.q.qname)) == (0x1234, "www.Example.com.")
    data = [str(each.rdata).lower() for each in reply.rr]
    assert data == ["edge.example.com.", "192.0.2.1", "2001:db8::1"]
    assert [str(each.rname) for each in reply.rr] == [
        "www.Example.com.",
        "edge.Example.com.",
        "edge.Example.com.",
    ]
    assert (reply.auth, reply.ar) == ([], [])


def test_ttls_count_down() -> None:
    """By the second, never below zero."""
    assert [each.ttl for each in passed_on(CHAIN, later=29.5).rr] == [271, 1, 31]
    assert [each.ttl for each in passed_on(CHAIN, later=45.0).rr] == [255, 0, 15]


def test_a_tail_dies_with_its_shortest_answer() -> None:
    """The authority section does not count: it is not what was asked for."""
    tail = read(CHAIN).tail_for(PLAIN)
    assert tail.at(1029.9) is not None
    assert tail.at(1030.0) is None


@pytest.mark.parametrize(
    ("query", "count", "do"), [(PLAIN, 0, False), (ASKED_WITH_OPT, 1, True)], ids=["plain", "edns"]
)
def test_opt_is_ours(query: wire.Query, count: int, do: bool) -> None:
    """None for those who sent none; else our size and the asker's DO."""
    additional = passed_on(CHAIN, query).ar
    assert len(additional) == count
    assert all((each.edns_len, bool(each.edns_do)) == (1232, do) for each in additional)


def test_the_additional_section_is_left_out() -> None:
    """Nobody has to believe what nobody asked for."""
    reply = DNSRecord.parse(upstream_reply(address(60)))
    reply.add_ar(RR("ns.example.com", QTYPE.A, ttl=5, rdata=A("192.0.2.9")))
    assert passed_on(bytes(reply.pack())).ar == []


def test_an_opt_record_among_the_answers_is_malformed() -> None:
    """RFC 6891, section 6.1.1."""
    reply = bytearray(upstream_reply())
    reply[7], reply[11] = 1, 0
    with pytest.raises(Malformed):
        read(bytes(reply))


@pytest.mark.parametrize(
    ("records", "rcode", "life"),
    [
        pytest.param([address(60)], 0, 60, id="an answer"),
        pytest.param([address(60), address(30)], 0, 30, id="the shortest"),
        pytest.param([address(0)], 0, 0, id="not to be cached"),
        pytest.param([address(1_000_000)], 0, LONGEST_LIFE, id="a long one"),
        pytest.param([address((1 << 31) + 9)], 0, 0, id="a negative TTL (RFC 2181)"),
        pytest.param([soa(60, 20)], 3, 20, id="NXDOMAIN: the minimum"),
        pytest.param([soa(10, 20)], 0, 10, id="NODATA: the TTL"),
        pytest.param([soa(9999, 9999)], 3, LONGEST_NEGATIVE_LIFE, id="a long negative one"),
        pytest.param([], 3, 0, id="NXDOMAIN without SOA"),
        pytest.param([], 0, 0, id="nothing at all: a referral"),
        pytest.param([address(60)], 2, 0, id="a failure"),
    ],
)
def test_life(records: list[RR], rcode: int, life: int) -> None:
    """RFC 2308, section 5, with an upper bound of our own."""
    assert read(upstream_reply(*records, rcode=rcode)).life == life


@pytest.mark.parametrize(
    ("query", "ad"),
    [(PLAIN, 0), (ASKED_WITH_OPT, 1), (wire.read_query(packet("www.example.com", ad=1)), 1)],
)
def test_ad_is_for_those_who_asked(query: wire.Query, ad: int) -> None:
    """RFC 6840, section 5.7."""
    assert passed_on(upstream_reply(address(60), ad=1), query).header.ad == ad


def test_the_rcode_extension_is_passed_on() -> None:
    """Half in the header, half in OPT."""
    reply = bytearray(upstream_reply(rcode=7))
    reply[-6] = 1  # the upper half, in OPT's TTL
    relayed = read(bytes(reply))
    assert (relayed.rcode, relayed.is_failure) == (0x17, True)
    found = DNSRecord.parse(b"\0\0" + relayed.tail_for(ASKED_WITH_OPT).now(1000.0))
    assert (found.header.rcode, found.ar[0].edns_rcode) == (7, 1)


IDENT = CHAIN[:2]
SECTION = QUESTION[12:]


@pytest.mark.parametrize(
    ("reply", "exact", "but_for_case"),
    [
        pytest.param(CHAIN, True, True, id="right"),
        pytest.param(b"zz" + CHAIN[2:], False, False, id="other id"),
        pytest.param(QUESTION, False, False, id="a query"),
        pytest.param(CHAIN[:12] + CHAIN[12:].replace(b"WWW", b"www"), False, True, id="other case"),
        pytest.param(CHAIN.replace(b"WWW", b"WW1"), False, False, id="other name"),
        pytest.param(CHAIN[: END - 3] + b"\x1c" + CHAIN[END - 2 :], False, False, id="other type"),
        pytest.param(CHAIN[:5] + b"\0" + CHAIN[6:], False, False, id="no question"),
        pytest.param(CHAIN[:2] + b"\xa9" + CHAIN[3:], False, False, id="other opcode"),
        pytest.param(CHAIN[:11], False, False, id="cut header"),
        pytest.param(CHAIN[:20], False, False, id="cut question"),
    ],
)
def test_matching(reply: bytes, exact: bool, but_for_case: bool) -> None:
    """Id, question, class and the case of every letter."""
    assert matches(reply, IDENT, SECTION) is exact
    assert matches_but_for_case(reply, IDENT, SECTION) is but_for_case


_EDITS = st.lists(st.tuples(st.integers(4, len(CHAIN) - 1), st.integers(0, 255)), max_size=6)


@given(_EDITS, st.integers(END, len(CHAIN)))
def test_mutated_replies_are_read_or_malformed(edits: list[tuple[int, int]], end: int) -> None:
    """Malformed, and nothing else, whatever a server sends."""
    reply = bytearray(CHAIN)
    for at, octet in edits:
        reply[at] = octet
    try:
        relayed = read(bytes(reply[:end]))
    except Malformed:
        return
    assert relayed.tail_for(PLAIN).now(2000.0)


def test_a_header_that_promises_too_much_is_malformed_at_once() -> None:
    """65,535 records are not counted one by one on the loop."""
    with pytest.raises(Malformed):
        read(CHAIN[:6] + b"\xff\xff" + CHAIN[8:END] + b"\0" * 60_000)


@given(
    st.lists(st.tuples(st.sampled_from([1, 28, 5, 16]), st.integers(0, 5000)), max_size=4),
    st.sampled_from([0, 3, 2]),
    st.booleans(),
    st.binary(max_size=3),
)
def test_plain_replies_are_read_as_any_others(
    rows: list[tuple[int, int]], rcode: int, opt: bool, junk: bytes
) -> None:
    """The short way for the plainest of them comes to the same as the long one."""
    data = {
        1: A("192.0.2.1"),
        28: AAAA("2001:db8::1"),
        5: CNAME("www.example.com"),
        16: A("1.2.3.4"),
    }
    records = (RR("www.example.com", kind, ttl=ttl, rdata=data[kind]) for kind, ttl in rows)
    reply = upstream_reply(*records, rcode=rcode, opt=opt) + junk
    long = reply + b"\0"  # what stands behind the records is ignored, but it is not plain
    assert told(reply) == told(long)


def told(reply: bytes) -> object:
    try:
        found = read(reply)
    except Malformed:
        return None
    tails = [found.tail_for(query).now(1000.0 + 3) for query in (PLAIN, ASKED_WITH_OPT)]
    return tails, found.rcode, found.life, found.addresses, found.extended
