"""Names for special use are answered here: a row for each that the documents reserve."""

from __future__ import annotations

import pytest
from dnslib import QTYPE, DNSRecord

from volt_agent.dns import special, wire
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.wire import Rcode

from .world import Desk, network, packet

PRIVATE = [f"{i}.172.in-addr.arpa" for i in range(16, 32)]
SHARED = [f"{i}.100.in-addr.arpa" for i in range(64, 128)]
ZEROS = "0." * 31

# RFC 6303, section 4, word for word.
RFC_6303 = [
    "10.in-addr.arpa", *PRIVATE, "168.192.in-addr.arpa",
    "0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa", "255.255.255.255.in-addr.arpa",
    f"0.{ZEROS}ip6.arpa", f"1.{ZEROS}ip6.arpa", "d.f.ip6.arpa",
    "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
]  # fmt: skip


def tell(name: str, qtype: str = "A", desk: Desk | None = None) -> DNSRecord:
    return (desk or Desk()).tell(packet(name, qtype))


@pytest.mark.parametrize("zone", [*RFC_6303, *SHARED])
def test_empty_zones(zone: str) -> None:
    """RFC 6303, section 3, and RFC 7793: SOA and NS at the top, nothing below."""
    desk = Desk(at="frontend")
    desk.commit(delete=(desk.responder.snapshot.networks["backend"],))
    for qtype in ("SOA", "NS"):
        reply = tell(zone, qtype, desk)
        assert [QTYPE[each.rtype] for each in reply.rr] == [qtype]
        assert (reply.header.rcode, reply.header.aa) == (Rcode.NOERROR, 1)
    assert tell(zone, "A", desk).auth
    if len(zone) < 30:
        below = tell(f"77.{zone}", "PTR", desk)
        assert below.header.rcode == Rcode.NXDOMAIN
        assert str(below.auth[0].rname) == f"{zone}."


def test_there_are_no_others() -> None:
    """The table of reserved zones is just what the documents list."""
    reverse = {".".join(each.decode() for each in zone) for zone in special.ZONES}
    assert {each for each in reverse if each.endswith(("in-addr.arpa", "ip6.arpa"))} == {
        *RFC_6303,
        *SHARED,
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("www.test", id="RFC 6761, 6.2"),
        pytest.param("www.invalid", id="RFC 6761, 6.4"),
        pytest.param("printer.local", id="RFC 6762, 22.1: by mDNS or not at all"),
        pytest.param("volt.local.local", id="not our zone, but like it"),
        pytest.param("facebookcorewwwi.onion", id="RFC 7686, 2"),
        pytest.param("nas.home.arpa", id="RFC 8375, 4"),
        pytest.param("bob.gns.alt", id="RFC 9476, 2"),
    ],
)
def test_names_that_do_not_exist(name: str) -> None:
    """Whatever the type, and whatever the case; nothing is asked upstream."""
    desk = Desk()
    for asked in (name, name.upper()):
        for qtype in ("A", "AAAA", "TXT", "ANY"):
            reply = tell(asked, qtype, desk)
            assert (reply.header.rcode, reply.header.aa, len(reply.auth)) == (Rcode.NXDOMAIN, 1, 1)
    assert desk.counters.forwarded == 0


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "db.localhost"])
def test_localhost_is_the_asker_itself(name: str) -> None:
    """RFC 6761, section 6.3: loopback addresses, and nothing of any other type."""
    assert [str(each.rdata) for each in tell(name, "A").rr] == ["127.0.0.1"]
    assert [str(each.rdata) for each in tell(name, "AAAA").rr] == ["::1"]
    reply = tell(name, "MX")
    assert (reply.header.rcode, len(reply.rr), len(reply.auth)) == (Rcode.NOERROR, 0, 1)


@pytest.mark.parametrize("name", ["1.0.0.127.in-addr.arpa", f"1.{ZEROS}ip6.arpa"])
def test_loopback_addresses_are_localhost(name: str) -> None:
    """RFC 6303, section 3, allows it."""
    assert str(tell(name, "PTR").rr[0].rdata) == "localhost."


def test_no_server_for_encrypted_dns_is_announced() -> None:
    """RFC 9462, section 4: askers would leave for another server, which knows no workload."""
    reply = tell("_dns.resolver.arpa", "SVCB")
    assert (reply.header.rcode, reply.rr) == (Rcode.NOERROR, [])


def test_a_workload_may_have_such_a_name() -> None:
    """A single label is the name of a workload, whatever it means elsewhere."""
    desk = Desk()
    assert desk.rcode(packet("test")) == Rcode.NXDOMAIN
    assert special.zone_of((b"test",)) is not None


@pytest.mark.parametrize("domain", ["corp.local", "home.arpa", "168.192.in-addr.arpa"])
def test_a_search_domain_makes_a_reserved_zone_somebodys(domain: str) -> None:
    """What is below it goes upstream; the rest of the reserved zone does not."""
    names = Desk(settings=DnsSettings(search_domains=("volt.local", domain))).responder.names
    desk = Desk()
    look_up = (desk.responder.snapshot, desk.responder.views.subnets, desk.view().sight)
    for name in (domain, f"nas.{domain}"):
        assert names.look_up(*look_up, wire.name_from_text(name), 1) is None
    for name in ("nas.local", "x.onion", "1.2.0.192.in-addr.arpa"):
        found = names.look_up(*look_up, wire.name_from_text(name), 1)
        assert found is not None
        assert found.rcode == Rcode.NXDOMAIN


def test_what_is_above_a_network_exists() -> None:
    """RFC 8020: no such name means that there is nothing below either."""
    desk = Desk()
    for name in ("30.10.in-addr.arpa", "10.in-addr.arpa", "0.30.10.in-addr.arpa"):
        assert desk.rcode(packet(name, "PTR")) == Rcode.NOERROR
    assert desk.rcode(packet("31.10.in-addr.arpa", "PTR")) == Rcode.NXDOMAIN
    desk.commit(network("more", "10.31.7.0/24"))
    assert desk.rcode(packet("31.10.in-addr.arpa", "PTR")) == Rcode.NOERROR
