"""Which names are ours, and what is said about them."""

from __future__ import annotations

import pytest
from dnslib import QTYPE

from volt_agent.dns import wire
from volt_agent.dns.answers import NEGATIVE_TTL, TTL
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.wire import Rcode
from volt_agent.errors import Invalid

from .world import Desk, attached, connection, network, packet, port

DB, WEB, HOST = "10.30.0.5", "10.30.0.2", "10.30.0.1"


@pytest.mark.parametrize(
    ("source", "name", "addresses"),
    [
        (DB, "db", [DB]),
        (DB, "db.volt.local", [DB]),
        (DB, "db.backend.volt.local", [DB]),
        (DB, "db.corp.example", [DB]),
        (DB, "DB.Volt.Local", [DB]),
        (DB, "web", ["10.30.0.2"]),
        (WEB, "web", ["10.30.0.2", "10.20.0.2"]),
        (HOST, "web", ["10.30.0.2", "10.20.0.2"]),
        (WEB, "web.frontend.volt.local", ["10.20.0.2"]),
        (HOST, "vault", ["10.50.0.9"]),
        (DB, "volt.local", ["10.30.0.1"]),
    ],
)
def test_addresses(source: str, name: str, addresses: list[str]) -> None:
    """A name's addresses on the networks that the asker shares, the asked network's first."""
    assert Desk().addresses(name, source) == addresses


def test_the_shared_network_comes_first_on_the_other_side_too() -> None:
    """The order follows the gateway that was asked."""
    assert Desk(at="frontend").addresses("web", "10.20.0.2") == ["10.20.0.2", "10.30.0.2"]


NXDOMAIN, NODATA = "NXDOMAIN", "NOERROR"


@pytest.mark.parametrize(
    ("source", "name", "qtype", "status", "zone"),
    [
        pytest.param(DB, "db", "AAAA", NODATA, ".", id="no IPv6"),
        pytest.param(DB, "db.volt.local", "AAAA", NODATA, "volt.local.", id="no IPv6, whole"),
        pytest.param(DB, "db.volt.local", "HTTPS", NODATA, "volt.local.", id="other types"),
        pytest.param(DB, "db.corp.example", "TXT", NODATA, "corp.example.", id="search domain"),
        pytest.param(DB, "nobody", "A", NXDOMAIN, ".", id="single label"),
        pytest.param(DB, "nobody.volt.local", "A", NXDOMAIN, "volt.local.", id="in the zone"),
        pytest.param(DB, "a.b.c.volt.local", "A", NXDOMAIN, "volt.local.", id="deep in the zone"),
        pytest.param(DB, "a.db.volt.local", "A", NXDOMAIN, "volt.local.", id="below a workload"),
        pytest.param(DB, "down", "A", NXDOMAIN, ".", id="its port is down"),
        pytest.param(DB, "quiet", "A", NXDOMAIN, ".", id="no address yet"),
        pytest.param(DB, "vault", "A", NXDOMAIN, ".", id="on another network"),
        pytest.param(
            DB, "web.frontend.volt.local", "A", NXDOMAIN, "volt.local.", id="its other network"
        ),
        pytest.param(DB, "db.internal.volt.local", "A", NXDOMAIN, "volt.local.", id="not there"),
        pytest.param(DB, "backend.volt.local", "A", NODATA, "volt.local.", id="a network's name"),
        pytest.param(
            DB, "frontend.volt.local", "A", NXDOMAIN, "volt.local.", id="of a hidden network"
        ),
        pytest.param(DB, "volt.local", "AAAA", NODATA, "volt.local.", id="the zone itself"),
        pytest.param(DB, "8.0.30.10.in-addr.arpa", "PTR", NXDOMAIN, "rev", id="nobody's address"),
        pytest.param(DB, "6.0.30.10.in-addr.arpa", "PTR", NXDOMAIN, "rev", id="address is down"),
        pytest.param(DB, "5.0.30.10.in-addr.arpa", "A", NODATA, "rev", id="PTR only"),
        pytest.param(DB, "0.30.10.in-addr.arpa", "PTR", NODATA, "rev", id="part of an address"),
        pytest.param(DB, "05.0.30.10.in-addr.arpa", "PTR", NXDOMAIN, "rev", id="not canonical"),
        pytest.param(DB, "x.0.30.10.in-addr.arpa", "PTR", NXDOMAIN, "rev", id="not a number"),
        pytest.param(DB, "1.5.0.30.10.in-addr.arpa", "PTR", NXDOMAIN, "rev", id="five octets"),
    ],
)
def test_negative_answers(source: str, name: str, qtype: str, status: str, zone: str) -> None:
    """RFC 2308: NXDOMAIN or NOERROR without records, with the SOA of a zone above the name."""
    reply = Desk().tell(packet(name, qtype), source)
    assert (reply.header.rcode == 3, reply.header.aa, reply.rr) == (status == NXDOMAIN, 1, [])
    (soa,) = reply.auth
    expected = "0.30.10.in-addr.arpa." if zone == "rev" else zone
    assert (str(soa.rname), QTYPE[soa.rtype], soa.ttl) == (expected, "SOA", NEGATIVE_TTL)
    assert soa.rdata.times[4] == NEGATIVE_TTL


def test_a_hidden_address_has_no_pointer() -> None:
    """PTR follows the view as well."""
    desk, question = Desk(), packet("9.0.50.10.in-addr.arpa", "PTR")
    assert desk.rcode(question, DB) == Rcode.NXDOMAIN
    assert str(desk.tell(question, HOST).rr[0].rdata) == "vault.volt.local."


def test_pointers_name_the_workload() -> None:
    """With the TTL of other answers."""
    (pointer,) = Desk().tell(packet("5.0.30.10.in-addr.arpa", "PTR"), DB).rr
    assert (str(pointer.rdata), pointer.ttl) == ("db.volt.local.", TTL)


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "nobody.corp.example",
        "corp.example",
        "8.in-addr.arpa",
        "5.0.32.172.in-addr.arpa",
        "in-addr.arpa",
        "5.0.30.10.ip6.arpa",
        "volt.localdomain",
        ".",
    ],
)
def test_what_is_not_ours(name: str) -> None:
    """Everything else is somebody else's."""
    desk = Desk()
    sight = desk.view(HOST).sight
    found = desk.responder.names.look_up(
        desk.responder.snapshot,
        desk.responder.views.subnets,
        sight,
        wire.name_from_text(name),
        1,
    )
    assert found is None


def test_a_label_that_spells_the_zone_is_not_the_zone() -> None:
    """Names are compared by labels, not by octets."""
    desk = Desk()
    trick = b"\x0cx\x04volt\x05local\x03com\0"
    sight = desk.view(HOST).sight
    names, subnets = desk.responder.names, desk.responder.views.subnets
    assert names.look_up(desk.responder.snapshot, subnets, sight, trick, 1) is None


@pytest.mark.parametrize(("qtype", "found"), [("SOA", "SOA"), ("NS", "NS"), ("ANY", "SOA")])
def test_the_apex(qtype: str, found: str) -> None:
    """The zone serves itself: its NS record names it, and its A record is the gateway."""
    (record,) = Desk().tell(packet("volt.local", qtype), DB).rr
    assert QTYPE[record.rtype] == found
    assert str(record.rname) == "volt.local."


def test_any_is_answered_with_addresses() -> None:
    """RFC 8482, section 4.1: one record set of our choice."""
    assert [QTYPE[each.rtype] for each in Desk().tell(packet("db", "ANY"), DB).rr] == ["A"]


def test_a_reverse_zone_of_another_size() -> None:
    """A /20 and a /26: what is inside is ours, what is beside is not."""
    desk = Desk()
    desk.commit(network("wide", "11.64.16.0/20"), network("slim", "11.65.0.64/26"))
    desk.commit(*attached("wide", "far", "11.64.31.9"), *attached("slim", "near", "11.65.0.70"))
    tell = desk.tell
    assert str(tell(packet("9.31.64.11.in-addr.arpa", "PTR")).rr[0].rdata) == "far.volt.local."
    assert str(tell(packet("70.0.65.11.in-addr.arpa", "PTR")).rr[0].rdata) == "near.volt.local."
    assert str(tell(packet("1.17.64.11.in-addr.arpa", "PTR")).auth[0].rname).startswith("17.64.")
    for beside in ("1.32.64.11", "63.0.65.11", "128.0.65.11", "65.11"):
        assert desk.rcode(packet(f"{beside}.in-addr.arpa", "PTR", rd=0)) == Rcode.REFUSED


def test_an_address_taken_over_has_the_new_name() -> None:
    """PTR and A go together."""
    desk = Desk()
    desk.commit(
        *attached("backend", "next", "10.30.0.5"),
        delete=(connection("backend", "db", DB), port("backend", "db", DB)),
    )
    assert desk.addresses("next") == [DB]
    assert desk.tell(packet("5.0.30.10.in-addr.arpa", "PTR")).rr[0].rdata.label == "next.volt.local"


@pytest.mark.parametrize("domain", ["a..b", "x" * 64, ".".join(["a" * 63] * 4)])
def test_a_bad_search_domain_is_refused(domain: str) -> None:
    """Before anything is served."""
    with pytest.raises(Invalid):
        Desk(settings=DnsSettings(search_domains=(domain,)))


def test_a_search_domain_in_the_zone_is_the_zones() -> None:
    """`backend.volt.local` as a search domain changes nothing: the names are there anyhow."""
    desk = Desk(settings=DnsSettings(search_domains=("backend.volt.local", "local")))
    assert desk.addresses("db.backend.volt.local") == [DB]
    assert desk.addresses("db.local") == [DB]
    assert desk.rcode(packet("nobody.backend.volt.local")) == Rcode.NXDOMAIN
