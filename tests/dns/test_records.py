"""What of an upstream reply belongs to the question, and what is not passed on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from dnslib import (
    CNAME,
    DNAME,
    EDNS0,
    MX,
    NS,
    NSEC,
    QTYPE,
    RD,
    RR,
    SOA,
    A,
    DNSRecord,
)
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dns import records, wire
from volt_agent.dns.reply import Relayed
from volt_agent.dns.wire import Malformed

from .world import packet

QUERY = packet("www.example.com")
PLAIN = wire.read_query(QUERY)
POISON = RR("bank.example.net", QTYPE.A, ttl=60, rdata=A("203.0.113.66"))
ANSWER = RR("www.example.com", QTYPE.A, ttl=60, rdata=A("192.0.2.1"))
ALIAS = RR("www.example.com", QTYPE.CNAME, ttl=60, rdata=CNAME("edge.cdn.example"))
TARGET = RR("edge.cdn.example", QTYPE.A, ttl=60, rdata=A("192.0.2.2"))
ZONE = RR("example.com", QTYPE.SOA, ttl=60, rdata=SOA("ns.example.com", "x.y", (1, 2, 3, 4, 5)))
OTHER_ZONE = RR("example.net", QTYPE.SOA, ttl=60, rdata=SOA("a.b", "c.d", (1, 2, 3, 4, 5)))
SERVER = RR("example.com", QTYPE.NS, ttl=60, rdata=NS("ns.evil.example"))
GLUE = RR("ns.evil.example", QTYPE.A, ttl=60, rdata=A("203.0.113.66"))
PROOF = RR("vvv.example.com", QTYPE.NSEC, ttl=60, rdata=NSEC("xxx.example.com", ["A"]))


def reply(
    answers: list[RR], authority: list[RR] | None = None, additional: list[RR] | None = None
) -> bytes:
    made = DNSRecord.parse(QUERY).reply(ra=1, aa=0)
    made.rr, made.auth = list(answers), list(authority or ())
    made.ar = [*(additional or ()), EDNS0(udp_len=1232)]
    return bytes(made.pack())


def told(octets: bytes, dnssec_ok: bool = False) -> DNSRecord:
    tail = Relayed(octets, PLAIN.end, 1000.0, dnssec_ok).tail_for(PLAIN).now(1000.0)
    return DNSRecord.parse(b"\0\0" + tail)


def shown(found: list[RR]) -> list[str]:
    return [f"{str(each.rname).rstrip('.')} {each.rdata}" for each in found]


W1 = "www.example.com 192.0.2.1"


@pytest.mark.parametrize(
    ("octets", "answers"),
    [
        pytest.param(reply([ANSWER]), [W1], id="honest"),
        pytest.param(reply([ANSWER, POISON]), [W1], id="poison behind"),
        pytest.param(reply([POISON, ANSWER]), [W1], id="poison before"),
        pytest.param(reply([ANSWER], [SERVER], [GLUE]), [W1], id="poisoned authority and glue"),
        pytest.param(
            reply([ALIAS, POISON, TARGET]),
            ["www.example.com edge.cdn.example.", "edge.cdn.example 192.0.2.2"],
            id="poison in the middle of a chain",
        ),
        pytest.param(
            reply([TARGET, ALIAS]),
            ["edge.cdn.example 192.0.2.2", "www.example.com edge.cdn.example."],
            id="a chain out of order",
        ),
    ],
)
def test_only_the_way_to_the_answer_is_passed_on(octets: bytes, answers: list[str]) -> None:
    """Records of other names are dropped; those behind them stay readable."""
    found = told(octets)
    assert shown(found.rr) == answers
    assert (found.auth, found.ar) == ([], [])


def test_names_in_data_survive_what_is_cut_out() -> None:
    """A compressed name may point into a record that is dropped: it is written out."""
    mail = RR("www.example.com", QTYPE.MX, ttl=60, rdata=MX("mx.bank.example.net", 10))
    found = told(reply([POISON, mail], [OTHER_ZONE, ZONE]))
    assert shown(found.rr) == ["www.example.com 10 mx.bank.example.net."]
    assert shown(found.auth) == ["example.com ns.example.com. x.y. 1 2 3 4 5"]


def test_answers_about_something_else_are_no_answer() -> None:
    """A reply whose every record is about other names says nothing."""
    with pytest.raises(Malformed):
        told(reply([POISON]))


def test_a_dname_stands_above_its_aliases() -> None:
    """RFC 6672: it is part of the way."""
    parent = RR("example.com", QTYPE.DNAME, ttl=60, rdata=DNAME("example.org"))
    alias = RR("www.example.com", QTYPE.CNAME, ttl=60, rdata=CNAME("www.example.org"))
    assert len(told(reply([parent, alias])).rr) == 2


@pytest.mark.parametrize(
    ("authority", "dnssec_ok", "types"),
    [
        ([ZONE], False, ["SOA"]),
        ([OTHER_ZONE], False, []),
        ([ZONE, PROOF], False, ["SOA"]),
        ([ZONE, PROOF], True, ["SOA", "NSEC"]),
    ],
)
def test_the_authority_section_says_why_there_is_nothing(
    authority: list[RR], dnssec_ok: bool, types: list[str]
) -> None:
    """The SOA above the name, and proofs for those who check them."""
    found = told(reply([], authority), dnssec_ok)
    assert [QTYPE[each.rtype] for each in found.auth] == types


def test_the_soa_is_that_of_the_last_alias() -> None:
    """An alias of a name without such records (RFC 2308, section 2.2)."""
    far = RR("cdn.example", QTYPE.SOA, ttl=60, rdata=SOA("a.b", "c.d", (1, 2, 3, 4, 5)))
    relayed = Relayed(reply([ALIAS], [far]), PLAIN.end, 1000.0)
    assert (len(told(reply([ALIAS], [far])).auth), relayed.life) == (1, 5)


def test_unknown_types_pass_unchanged() -> None:
    """RFC 3597: their data are octets."""
    odd = RR("www.example.com", 65280, ttl=60, rdata=RD(b"\xc0\x0c\0\xffodd"))
    for octets in (reply([odd]), reply([POISON, odd])):
        assert Relayed(octets, PLAIN.end, 0.0).body.endswith(b"\xc0\x0c\0\xffodd")


def test_aliases_in_a_circle_end() -> None:
    """Each name is followed once."""
    back = RR("edge.cdn.example", QTYPE.CNAME, ttl=60, rdata=CNAME("www.example.com"))
    assert len(told(reply([ALIAS, back])).rr) == 2


@pytest.mark.parametrize(
    "owner", [b"\xc0\x40", b"\xc0\xff", b"\x80x", b"\x3fshort", b"\xc0"], ids=repr
)
def test_bad_names_are_malformed(owner: bytes) -> None:
    """Pointers that lead forward or nowhere, labels that are none."""
    head = QUERY[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + QUERY[12:]
    with pytest.raises(Malformed):
        Relayed(head + owner + b"\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", PLAIN.end, 0.0)


def test_a_chain_of_pointers_ends() -> None:
    """However long a message makes it."""
    pointers = b"".join((0xC000 | PLAIN.end + 12 + 2 * n).to_bytes(2, "big") for n in range(200))
    record = b"\xc0\x0c" + b"\xff\0\0\1\0\0\0\x3c" + (2 + len(pointers)).to_bytes(2, "big")
    last = (0xC000 | PLAIN.end + 12 + 2 * 200).to_bytes(2, "big")
    head = QUERY[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + QUERY[12:]
    octets = head + record + b"\0\0" + pointers + last + b"\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
    with pytest.raises(Malformed, match="too many pointers"):
        Relayed(octets, PLAIN.end, 0.0)


_OWNERS = st.sampled_from(
    ["www.example.com", "edge.cdn.example", "bank.example.net", "example.com", "a.b.c.example.org"]
)
_DATA = st.one_of(
    st.builds(lambda name: (QTYPE.CNAME, CNAME(name)), _OWNERS),
    st.builds(lambda name: (QTYPE.MX, MX(name, 5)), _OWNERS),
    st.builds(lambda last: (QTYPE.A, A(f"192.0.2.{last}")), st.integers(1, 9)),
)
_RECORDS = st.lists(
    st.builds(lambda owner, data: RR(owner, data[0], ttl=9, rdata=data[1]), _OWNERS, _DATA),
    max_size=6,
)


@given(_RECORDS)
def test_what_is_told_was_said(said: list[RR]) -> None:
    """Whatever the mix: what is passed on parses, and each record of it was in the reply."""
    try:
        found = told(reply(said))
    except Malformed:
        return
    assert set(shown(found.rr)) <= set(shown(said))
    owners = {str(each.rname) for each in found.rr}
    aliases = {str(each.rdata) for each in found.rr if each.rtype == QTYPE.CNAME}
    assert owners <= {"www.example.com."} | aliases


@given(st.integers(0, 5), st.binary(min_size=1, max_size=40))
def test_garbage_in_records_is_malformed_or_read(at: int, octets: bytes) -> None:
    """Nothing else is raised."""
    whole = bytearray(reply([ALIAS, POISON, TARGET], [ZONE]))
    start = PLAIN.end + at * 7
    whole[start : start + len(octets)] = octets
    try:
        assert Relayed(bytes(whole), PLAIN.end, 0.0).tail_for(PLAIN).now(1.0)
    except Malformed:
        return


def test_long_replies_are_read_in_time() -> None:
    """The most records that are accepted, each alias of the next, in the worst order."""
    count = 800
    names = ["www.example.com", *(f"n{n}.x" for n in range(count))]
    chain = [RR(owner, QTYPE.CNAME, rdata=CNAME(target)) for owner, target in pairwise(names)]
    assert len(told(reply(chain[::-1])).rr) == count
    with pytest.raises(Malformed):
        told(reply([ANSWER] * (records.RECORDS_MAX + 1)))


# ---- addresses ---------------------------------------------------------------------------------


def service(rtype: int, target: bytes, *parameters: tuple[int, bytes]) -> RR:
    """A SVCB or HTTPS record in wire form (RFC 9460, section 2.2)."""
    parts = [key.to_bytes(2) + len(value).to_bytes(2) + value for key, value in parameters]
    return RR("www.example.com", rtype, ttl=60, rdata=RD(b"\0\1" + target + b"".join(parts)))


LOOPBACK = bytes([127, 0, 0, 1])
LOOPBACK6 = bytes(15) + b"\1"


@pytest.mark.parametrize("rtype", [64, 65])
@pytest.mark.parametrize("target", [b"\0", b"\4edge\3cdn\0", b"\xc0\x0c"])
def test_hints_are_addresses_too(rtype: int, target: bytes) -> None:
    """A browser that asks for HTTPS connects to what the hints say: they count as A and AAAA do."""
    public = bytes([192, 0, 2, 1])
    record = service(rtype, target, (1, b"\2h2"), (4, public + LOOPBACK), (6, LOOPBACK6))
    found = Relayed(reply([record]), PLAIN.end, 1000.0).addresses
    assert found == (public, LOOPBACK, LOOPBACK6)


@given(st.binary(max_size=60))
def test_any_data_of_a_service_can_be_read(data: bytes) -> None:
    """What is no SVCB record has no hints, or some; nothing else comes of it."""
    record = RR("www.example.com", 65, ttl=60, rdata=RD(data))
    Relayed(reply([record]), PLAIN.end, 1000.0)
