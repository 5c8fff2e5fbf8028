"""The addresses that `policy test` judges are those that a real connection would have."""

from __future__ import annotations

import pytest

from tests.networks.build import ip
from tests.rules.build import site, with_rule
from volt_agent.errors import Invalid, NotFound
from volt_agent.rules.connection import Ends, find_ends, nobody, parse_tested_port

HOST = (ip("192.0.2.1"),)


@pytest.mark.parametrize(
    ("source", "target", "ends"),
    [
        ("web", "db", ("10.30.0.10", "10.30.0.20")),
        # api's first network is frontend; what is shared goes first on both sides.
        ("api", "db", ("10.30.0.30", "10.30.0.20")),
        ("web", "api", ("10.30.0.10", "10.30.0.30")),
        ("api", "198.51.100.7", ("10.40.0.30", "198.51.100.7")),
        ("host", "api", (None, "10.40.0.30")),
        ("host", "127.0.0.1", (None, "127.0.0.1")),
        ("web", "host", ("10.30.0.10", "10.30.0.1")),
        ("outside", "host", ("203.0.113.1", "192.0.2.1")),
        ("198.51.100.7", "web", ("198.51.100.7", "10.30.0.10")),
    ],
)
def test_ends(source: str, target: str, ends: tuple[str | None, str]) -> None:
    """Workloads, the host, outside, addresses."""
    wanted = Ends(ip(ends[0]) if ends[0] else None, ip(ends[1]))
    assert find_ends(site(), source, target, HOST) == wanted


def test_a_workload_on_no_network() -> None:
    """No connection can be: that is an answer, not a mistake."""
    assert find_ends(site(), "idle", "web").missing == "idle is on no network"
    assert find_ends(site(), "web", "idle").missing == "idle is on no network"


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
