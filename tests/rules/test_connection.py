"""The addresses that `policy test` judges are those that a real connection would have."""

from __future__ import annotations

import pytest

from tests.networks.build import ip
from tests.rules.build import site, with_rule
from volt_agent.errors import Invalid, NotFound
from volt_agent.rules.connection import (
    Ends,
    Nowhere,
    find_ends,
    nobody,
    packet_of,
    parse_tested_port,
)

HOST = (ip("192.0.2.1"),)


@pytest.mark.parametrize(
    ("source", "target", "ends"),
    [
        ("web", "db", ("10.30.0.10", "10.30.0.20")),
        # api's first network is frontend; what is shared goes first on both sides.
        ("api", "db", ("10.30.0.30", "10.30.0.20")),
        ("web", "api", ("10.30.0.10", "10.30.0.30")),
        ("api", "198.51.100.7", ("10.40.0.30", "198.51.100.7")),
        ("host", "api", ("127.0.0.1", "10.40.0.30")),
        ("host", "127.0.0.1", ("127.0.0.1", "127.0.0.1")),
        ("web", "host", ("10.30.0.10", "10.30.0.1")),
        ("outside", "host", ("203.0.113.1", "192.0.2.1")),
        ("198.51.100.7", "web", ("198.51.100.7", "10.30.0.10")),
        ("10.30.0.99", "web", ("10.30.0.99", "10.30.0.10")),
    ],
)
def test_ends(source: str, target: str, ends: tuple[str, str]) -> None:
    """Workloads, the host, outside, addresses."""
    found = find_ends(site(), source, target, HOST)
    assert isinstance(found, Ends)
    assert (str(found.source), str(found.target)) == ends


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("web", "workload"),
        ("10.30.0.99", "workload"),
        ("10.30.0.1", "host"),
        ("192.0.2.1", "host"),
        ("host", "host"),
        ("outside", "outside"),
        ("192.0.2.2", "outside"),
    ],
)
def test_origins(source: str, origin: str) -> None:
    """Names say where a packet comes from, and so do addresses."""
    found = find_ends(site(), source, "db", HOST)
    assert isinstance(found, Ends)
    assert found.origin == origin
    packet = packet_of(found, "tcp", 80, HOST)
    assert (packet.port, packet.is_local) == (80, False)


def test_an_address_of_the_host_is_local() -> None:
    """Gateways and loopback the model knows by itself."""
    found = find_ends(site(), "web", "192.0.2.1", HOST)
    assert isinstance(found, Ends)
    assert packet_of(found, "icmp", None, HOST).is_local


def test_a_workload_on_no_network() -> None:
    """No connection can be: that is an answer, not a mistake."""
    assert find_ends(site(), "idle", "web") == Nowhere("idle is on no network")
    assert find_ends(site(), "web", "idle") == Nowhere("idle is on no network")


def test_unknown_and_malformed_ends() -> None:
    """Not found, with a hint; or not an address."""
    with pytest.raises(NotFound):
        find_ends(site(), "wep", "db")
    with pytest.raises(NotFound):
        find_ends(site(), "web", "outside")
    with pytest.raises(Invalid):
        find_ends(site(), "web", "10.30.0.0/24")


def test_outside_is_nobody_that_a_rule_names() -> None:
    """A rule about the documentation range itself is stepped around."""
    assert nobody(with_rule(site(), "x", source="203.0.113.0/24")) == ip("198.51.100.1")


def test_ports_of_a_test() -> None:
    """One for tcp and udp, none for icmp."""
    assert parse_tested_port("80", "tcp") == 80
    assert parse_tested_port(None, "icmp") is None
    for text, protocol in ((None, "tcp"), ("80", "icmp"), ("80-81", "udp"), ("80,81", "tcp")):
        with pytest.raises(Invalid):
            parse_tested_port(text, protocol)  # type: ignore[arg-type]
