"""One packet, one reply: transcripts on the wire, and what changes do to finished replies."""

from __future__ import annotations

import pytest
from dnslib import DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from volt_agent.dns import wire
from volt_agent.dns.responder import CACHE_LIMITS, PER_NAME
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.wire import Rcode
from volt_agent.model.network import Reservation
from volt_agent.model.snapshot import Change, Snapshot

from .world import (
    GATEWAY,
    INTERNAL,
    Desk,
    attached,
    connection,
    network,
    packet,
    port,
    run,
    with_opt,
)

DB, WEB = "10.30.0.5", "10.30.0.2"
ASK_DB = packet("db")
COOKIE = b"\0\x0a\0\x08abcdefgh"


def chaos(query: bytes) -> bytes:
    return query[:-1] + b"\3"


@pytest.mark.parametrize(
    ("query", "rcode", "outcome"),
    [
        pytest.param(ASK_DB, Rcode.NOERROR, "local", id="a name of ours"),
        pytest.param(packet("nobody"), Rcode.NXDOMAIN, "local", id="no such name"),
        pytest.param(ASK_DB + b"\0", Rcode.FORMERR, "malformed", id="octets behind"),
        pytest.param(ASK_DB[:12], Rcode.FORMERR, "malformed", id="no question"),
        pytest.param(with_opt(with_opt(ASK_DB)), Rcode.FORMERR, "malformed", id="OPT twice"),
        pytest.param(with_opt(ASK_DB, version=1), Rcode.BADVERS, "malformed", id="EDNS 1"),
        pytest.param(packet("db", opcode=1), Rcode.NOTIMP, "refused", id="inverse query"),
        pytest.param(packet("db", opcode=4), Rcode.NOTIMP, "refused", id="notify"),
        pytest.param(packet("db", opcode=5), Rcode.NOTIMP, "refused", id="update"),
        pytest.param(chaos(packet("version.bind", "TXT")), Rcode.REFUSED, "refused", id="chaos"),
        pytest.param(packet("volt.local", "AXFR"), Rcode.REFUSED, "refused", id="transfer"),
        pytest.param(packet("volt.local", "IXFR"), Rcode.REFUSED, "refused", id="ixfr"),
        pytest.param(packet("example.com", rd=0), Rcode.REFUSED, "refused", id="not recursive"),
        pytest.param(packet("db", rd=0), Rcode.NOERROR, "local", id="ours, not recursive"),
    ],
)
def test_replies(query: bytes, rcode: Rcode, outcome: str) -> None:
    """Each query is answered under its own id, and counted once."""
    desk = Desk()
    reply = desk.ask(query)
    assert reply is not None
    parsed = DNSRecord.parse(reply)
    extension = sum(each.edns_rcode << 4 for each in parsed.ar)
    assert parsed.header.rcode | extension == rcode
    assert (parsed.header.id, parsed.header.qr) == (0x1234, 1)
    assert (parsed.header.opcode, parsed.header.rd) == (query[2] >> 3 & 15, query[2] & 1)
    assert (desk.counters.queries, getattr(desk.counters, outcome)) == (1, 1)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\0" * 11, ASK_DB[:2] + b"\x81\x80" + ASK_DB[4:], ASK_DB[:2] + b"\x80" + b"\xff" * 40],
)
def test_no_reply_to_what_is_no_query(octets: bytes) -> None:
    """Least of all to a reply."""
    desk = Desk()
    assert desk.ask(octets) is None
    assert desk.counters.dropped == 1


def test_the_question_comes_back_in_its_case() -> None:
    """Resolvers that mix cases ("0x20") check it."""
    assert str(Desk().tell(packet("dB.VolT.locaL")).q.qname) == "dB.VolT.locaL."


@pytest.mark.parametrize("qtype", ["A", "HTTPS"])
def test_all_cases_of_a_name_share_one_finished_reply(qtype: str) -> None:
    """Each asker gets his own case back. (HTTPS is type 65, the code of a letter.)"""
    desk = Desk()
    for name in ("db.volt.local", "dB.VOLT.local", "DB.volt.LOCAL"):
        reply = desk.tell(with_opt(packet(name, qtype)))
        assert (str(reply.q.qname), len(reply.rr)) == (f"{name}.", qtype == "A")
    assert len(desk.view().tails) == 1
    assert (desk.counters.local, desk.counters.cached) == (1, 2)


@pytest.mark.parametrize("bit", ["rd", "cd"])
def test_rd_and_cd_come_back(bit: str) -> None:
    """As they were."""
    for value in (0, 1):
        query = packet("db", rd=value) if bit == "rd" else packet("db", cd=value)
        assert getattr(Desk().tell(query).header, bit) == value


def test_edns_is_answered_with_edns() -> None:
    """And none without (RFC 6891, section 7)."""
    assert Desk().tell(ASK_DB).ar == []
    (opt,) = Desk().tell(with_opt(ASK_DB, do=True)).ar
    assert (opt.edns_len, opt.edns_ver, opt.edns_do) == (1232, 0, 1)


def many_addresses(count: int) -> Desk:
    desk = Desk()
    for i in range(count):
        desk.commit(network(f"n{i}", f"10.80.{i}.0/24"), *attached(f"n{i}", "big", f"10.80.{i}.9"))
    return desk


def test_what_does_not_fit_is_for_tcp() -> None:
    """TC at 512 octets, room with EDNS, and no limit over TCP."""
    desk = many_addresses(40)
    assert (desk.tell(packet("big")).header.tc, desk.tell(packet("big")).rr) == (1, [])
    assert len(desk.tell(with_opt(packet("big"))).rr) == 40
    assert len(desk.tell(packet("big"), stream=True).rr) == 40


# ---- finished replies and changes ----------------------------------------------------------------


def test_the_same_packet_is_answered_from_the_finished_tail() -> None:
    """Under its own id."""
    desk = Desk()
    first = desk.ask(ASK_DB)
    again = desk.ask(b"\xab\xcd" + ASK_DB[2:])
    assert (first[2:], again[:2]) == (again[2:], b"\xab\xcd")  # type: ignore[index]
    assert desk.counters.local == 1


@pytest.mark.parametrize("query", [with_opt(ASK_DB, options=COOKIE), ASK_DB + b"\0"])
def test_packets_that_never_come_again_are_not_kept(query: bytes) -> None:
    """Cookies make every packet unique; so does garbage."""
    desk = Desk()
    desk.ask(query)
    assert not desk.view().tails


def test_views_do_not_share_tails() -> None:
    """What one may see is not told to another."""
    desk = Desk()
    assert desk.addresses("vault", GATEWAY) == ["10.50.0.9"]
    assert desk.addresses("vault", DB) == []


def test_a_start_is_seen_at_once() -> None:
    """By those who were told a moment ago that there is no such name; so is its stop."""
    desk = Desk()
    for name in ("late", "late.volt.local", "late.backend.volt.local"):
        assert desk.addresses(name, DB) == []
    desk.commit(*attached("backend", "late", "10.30.0.8"))
    for name in ("late", "late.volt.local", "late.backend.volt.local", "late.corp.example"):
        assert desk.addresses(name, DB) == ["10.30.0.8"]
    desk.commit(delete=(port("backend", "late", "10.30.0.8"),))
    for name in ("late", "late.volt.local", "late.backend.volt.local"):
        assert desk.addresses(name, DB) == []


def test_a_port_that_goes_down_takes_its_names_along() -> None:
    """And its pointer; up again, they are back."""
    desk, pointer = Desk(), packet("5.0.30.10.in-addr.arpa", "PTR")
    assert desk.tell(pointer, WEB).rr
    desk.commit(port("backend", "db", DB, up=False))
    assert (desk.addresses("db", WEB), desk.tell(pointer, WEB).rr) == ([], [])
    desk.commit(port("backend", "db", DB))
    assert desk.addresses("db", WEB) == [DB]


def test_a_new_address_replaces_the_old() -> None:
    """Both pointers change with it."""
    desk = Desk()
    old, new = (packet(f"{i}.0.30.10.in-addr.arpa", "PTR") for i in (5, 55))
    assert (bool(desk.tell(old).rr), bool(desk.tell(new).rr)) == (True, False)
    desk.commit(*attached("backend", "db", "10.30.0.55"))
    assert (bool(desk.tell(old).rr), bool(desk.tell(new).rr)) == (False, True)
    assert desk.addresses("db") == ["10.30.0.55"]


def test_a_connect_widens_the_view_at_once() -> None:
    """And a disconnect narrows it: the asker is another one now."""
    desk = Desk()
    assert desk.addresses("vault", DB) == []
    joined = attached("internal", "db", "10.50.0.5", slot=1)
    desk.commit(*joined)
    assert desk.addresses("vault", DB) == ["10.50.0.9"]
    desk.commit(delete=joined)
    assert desk.addresses("vault", DB) == []


def test_a_reservation_takes_the_view_of_its_owner() -> None:
    """The address of a disconnected workload sees its own network only."""
    desk = Desk()
    assert desk.addresses("web.frontend.volt.local", WEB) == ["10.20.0.2"]
    gone = connection("backend", "web", WEB, 1)
    kept = Reservation("backend", "web", gone.address, gone.mac, 0.0)
    desk.commit(kept, delete=(gone, port("backend", "web", WEB)))
    assert desk.addresses("web.frontend.volt.local", WEB) == []


def test_a_new_network_is_ours_at_once() -> None:
    """Its own name, and the pointers of its subnet, which were somebody else's before."""
    desk = Desk(settings=DnsSettings())
    pointer = packet("9.0.90.11.in-addr.arpa", "PTR")
    assert desk.rcode(packet("extra.volt.local")) == Rcode.NXDOMAIN
    assert desk.rcode(pointer[:2] + b"\0" + pointer[3:]) == Rcode.REFUSED
    desk.commit(network("extra", "11.90.0.0/24"))
    assert desk.rcode(packet("extra.volt.local")) == Rcode.NOERROR
    assert desk.rcode(pointer) == Rcode.NXDOMAIN
    desk.commit(*attached("extra", "new", "11.90.0.9"))
    assert str(desk.tell(pointer).rr[0].rdata) == "new.volt.local."


def populated(count: int) -> Desk:
    """A desk with `count` names, all of which have been asked for, by name and by address."""
    addresses = [f"10.60.{i >> 8}.{i & 255}" for i in range(2, count + 2)]
    put = [each for i, a in enumerate(addresses) for each in attached("wide", f"w{i}", a)]
    world = Snapshot().apply(Change(put=(network("wide", "10.60.0.0/16"), *put)))
    desk = Desk(world, at="wide")
    for i, address in enumerate(addresses):
        reverse = ".".join(reversed(address.split(".")))
        for query in (packet(f"w{i}"), packet(f"{reverse}.in-addr.arpa", "PTR")):
            desk.ask(query, addresses[0])
    return desk


def test_the_cost_of_a_change_does_not_grow_with_the_names() -> None:
    """With 2,000 finished replies as with 20, a stop drops the two that are about it."""
    for count in (10, 1000):
        desk = populated(count)
        assert len(desk.view("10.60.0.2").tails) == 2 * count
        assert desk.commit(port("wide", "w7", "10.60.0.9", up=False)) == 2
        assert len(desk.view("10.60.0.2").tails) == 2 * count - 2


def test_what_strangers_can_keep_is_bounded() -> None:
    """One name in every mix of cases, and any number of names that do not exist."""
    desk = Desk()
    for i in range(300):
        mixed = "".join(c.upper() if i >> n & 1 else c for n, c in enumerate("web.volt.local"))
        desk.ask(packet(mixed))
    assert len(desk.responder.caches["known"]) <= PER_NAME
    for i in range(CACHE_LIMITS["unknown"] + 100):
        desk.ask(packet(f"x{i}"))
    assert len(desk.responder.caches["unknown"]) <= CACHE_LIMITS["unknown"]
    assert desk.ask(packet("web.volt.local")) is not None


def test_flush_empties_everything() -> None:
    """And says how much that was; the next answers are right."""
    desk = Desk()
    for name in ("db", "web", "nobody"):
        desk.ask(packet(name))
    assert desk.responder.flush() == 3
    assert not desk.view().tails
    assert desk.addresses("db") == [DB]


# ---- what is not ours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isolated", "forward", "source", "rcode"),
    [
        pytest.param(True, False, "10.50.0.9", Rcode.REFUSED, id="no way out"),
        pytest.param(True, True, "10.50.0.9", Rcode.SERVFAIL, id="forwarded on request"),
        pytest.param(True, False, "10.50.0.1", Rcode.SERVFAIL, id="the host has a way out"),
        pytest.param(False, False, "10.50.0.9", Rcode.SERVFAIL, id="a network with a way out"),
    ],
)
def test_isolated_networks_are_not_forwarded(
    isolated: bool, forward: bool, source: str, rcode: Rcode
) -> None:
    """A name server is a tunnel. (Without upstream servers, what is forwarded is SERVFAIL.)"""
    desk = Desk(settings=DnsSettings(forward_isolated=forward), at="internal")
    desk.commit(network("internal", "10.50.0.0/24", nat=not isolated))
    assert run_rcode(desk, "example.com", source) == rcode


def test_a_second_network_with_a_way_out_is_enough() -> None:
    """Who can reach the outside anyhow may ask for it on any of its networks."""
    desk = Desk(at="internal")
    desk.commit(*attached("internal", "db", "10.50.0.5", slot=1))
    assert run_rcode(desk, "example.com", "10.50.0.5") == Rcode.SERVFAIL
    assert INTERNAL.nat is False


def run_rcode(desk: Desk, name: str, source: str) -> int:
    async def asked() -> int:
        return desk.rcode(packet(name), source)

    return run(asked())


# ---- whatever comes -----------------------------------------------------------------------------

SEEDS = [
    packet("db.volt.local"),
    with_opt(packet("web.volt.local"), do=True),
    with_opt(packet("nobody", "AAAA"), options=COOKIE),
    packet("5.0.30.10.in-addr.arpa", "PTR"),
    packet("volt.local", "ANY"),
]
_OCTETS = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 0x3F, 0x40, 0x80, 0xC0, 0xFF]))
_EDITS = st.lists(st.tuples(st.integers(0, 60), _OCTETS), max_size=6)


@settings(max_examples=500)
@given(st.sampled_from(SEEDS), _EDITS, st.integers(0, 80), st.binary(max_size=12), st.booleans())
def test_mutated_packets(
    seed: bytes, edits: list[tuple[int, int]], cut: int, more: bytes, stream: bool
) -> None:
    """No exception, no reply to a reply, each reply parses and has the asker's id."""
    octets = bytearray(seed)
    for at, octet in edits:
        octets[at % len(octets)] = octet
    mutated = bytes(octets[:cut]) + more
    reply = ISOLATED.ask(mutated, "10.50.0.9", stream)
    is_query = len(mutated) >= 12 and not mutated[2] & 0x80
    assert (reply is not None) == is_query
    if reply is not None:
        assert reply[:2] == mutated[:2]
        assert len(reply) <= 1232
        assert DNSRecord.parse(with_plain_question(reply)).header.qr == 1


def with_plain_question(reply: bytes) -> bytes:
    """`reply` with letters for the octets of the question's name: dnslib refuses odd ones."""
    if not reply[5]:
        return reply
    labels = wire.labels_of(reply[12:])
    plain = wire.name_from_labels(tuple(b"x" * len(each) for each in labels))
    return reply[:12] + plain + reply[12 + len(plain) :]


# Nothing is forwarded from there, so that the examples run without a loop.
ISOLATED = Desk(at="internal")
