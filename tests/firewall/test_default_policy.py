"""The default policy, row by row, by tcp, udp and ping between real network namespaces.

Every row is tried twice: with volt's ruleset, and without any. What the policy denies has to get
through without it, or its silence would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.firewall.lab import POLICY, SNAPSHOT, Lab
from tests.support.traffic import Outcome
from volt_agent.model.host import HostPolicy

pytestmark = pytest.mark.kernel

# Long enough for what is allowed: 20 ms here. A denied attempt takes all of it, all at once.
SOON = 0.7
# For what should have answered and did not: a lost packet is sent again after 1 s (RFC 6298).
PATIENT = 3.0

HOST, OUTSIDE, OTHER = "192.0.2.1", "192.0.2.2", "172.31.0.5"
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::2"
WEB, APP, CACHE, ISO = "10.0.0.5", "10.0.0.6", "10.30.0.5", "10.50.0.5"
ALL = (("tcp", 80), ("udp", 80), ("ping", 0))
PING = (("ping", 0),)
DNS = (("tcp", 53), ("udp", 53))
SSH = (("tcp", 22),)


class Row(Struct, frozen=True):
    """One attempt, whether it gets through, and the source address the target sees."""

    source: str
    target: str
    protocol: str
    port: int
    allowed: bool
    seen_as: str | None = None

    def __str__(self) -> str:
        verdict = "allow" if self.allowed else "deny"
        return f"{self.source} to {self.target} {self.protocol} {self.port} {verdict}"


def allow(
    source: str, target: str, how: tuple[tuple[str, int], ...] = ALL, seen_as: str | None = None
) -> Iterator[Row]:
    for protocol, port in how:
        yield Row(source, target, protocol, port, True, seen_as)


def deny(source: str, target: str, how: tuple[tuple[str, int], ...] = ALL) -> Iterator[Row]:
    for protocol, port in how:
        yield Row(source, target, protocol, port, False)


WORKLOADS = (
    # Same network: allow, both ways, nothing translated.
    *allow("web", APP, seen_as=WEB),
    *allow("app", WEB, seen_as=APP),
    # Different networks: deny, both ways.
    *deny("web", CACHE),
    *deny("cache", WEB),
    *deny("web", ISO),
    *deny("iso", CACHE),
    # Out: masquerade, and no way out without NAT. Another bridge of the host is "out" too.
    *allow("web", OUTSIDE, seen_as=HOST),
    *allow("cache", OUTSIDE, seen_as=HOST),
    *allow("web", OTHER, seen_as="172.31.0.1"),
    *deny("iso", OUTSIDE),
    *deny("iso", OTHER),
    # From outside to workloads: deny, from foreign bridges too.
    *deny("outside", WEB),
    *deny("outside", CACHE),
    *deny("outside", ISO),
    *deny("other", WEB),
    # The host to workloads: allow.
    *allow("host", WEB, seen_as="10.0.0.1"),
    *allow("host", CACHE, seen_as="10.30.0.1"),
    *allow("host", ISO, seen_as="10.50.0.1"),
    # Workloads to the host: DNS and ping of their own gateway only.
    *allow("web", "10.0.0.1", (*DNS, *PING)),
    *allow("iso", "10.50.0.1", (*DNS, *PING)),
    *deny("web", "10.0.0.1", (*SSH, ("tcp", 80), ("udp", 80))),
    *deny("web", "10.30.0.1", (*DNS, *PING)),
    *deny("web", HOST, (*SSH, *DNS, *PING)),
    *deny("iso", HOST, (*SSH, *DNS, *PING)),
    # Gateway addresses are not there for anybody else.
    *deny("outside", "10.0.0.1", (*SSH, *DNS, *PING)),
    *deny("other", "10.0.0.1", (*SSH, *DNS, *PING)),
    # IPv6 of workloads: drop, to each other and to the host.
    *deny("web", "2001:db8:1::6"),
    *deny("web", "2001:db8:1::1", (*DNS, *PING)),
    # Traffic that is none of volt's: untouched.
    *allow("other", OUTSIDE, seen_as=OTHER),
    *allow("outside", OTHER, seen_as=OUTSIDE),
    *allow("host", OTHER),
    # The host's own connections, with their replies.
    *allow("host", OUTSIDE, seen_as=HOST),
    *allow("host", OUTSIDE6, seen_as=HOST6),
    *allow("host", "127.0.0.1"),
    *allow("host", HOST),
)

INBOUND_DENIED = (
    *allow("outside", HOST, SSH, seen_as=OUTSIDE),
    *allow("outside", HOST6, SSH, seen_as=OUTSIDE6),  # which takes neighbour discovery
    *allow("outside", HOST, (("tcp", 8000), ("tcp", 8010))),
    *deny("outside", HOST, (("tcp", 7999), ("tcp", 8011), ("udp", 8000))),
    *deny("outside", HOST),
    *deny("outside", HOST6),
    *allow("other", "172.31.0.1", SSH),
    *deny("other", "172.31.0.1"),
)

PING_AND_AN_INTERFACE = (
    *allow("outside", HOST, PING),
    *allow("outside", HOST6, PING),
    *deny("outside", HOST, (("tcp", 80),)),
    *allow("other", "172.31.0.1"),
    *deny("other", "10.0.0.1", PING),
    *deny("web", HOST, PING),
)

INBOUND_ALLOWED = (
    *allow("outside", HOST, (*ALL, *SSH), seen_as=OUTSIDE),
    *allow("outside", HOST6, (*ALL, *SSH), seen_as=OUTSIDE6),
    *allow("other", "172.31.0.1"),
    *deny("web", HOST, (*SSH, *PING)),
    *deny("web", "10.0.0.1", SSH),
    *deny("outside", "10.0.0.1", (*SSH, *PING)),
    *deny("outside", WEB),
)

POLICIES = {
    "deny": (POLICY, WORKLOADS + INBOUND_DENIED),
    "open": (HostPolicy(ping=True, interfaces=("other0",)), PING_AND_AN_INTERFACE),
    "allow": (replace(POLICY, inbound="allow"), INBOUND_ALLOWED),
}
CASES = [(name, row) for name, (_, rows) in POLICIES.items() for row in rows]

Outcomes = dict[tuple[str, Row], Outcome]


@pytest.fixture(scope="module")
def outcomes(lab: Lab) -> Outcomes:
    """What became of every row under its policy, and under "none"."""
    serve(lab)
    found = probe(lab, "none", list(dict.fromkeys(row for _, row in CASES)), expect_all=True)
    for name, (policy, rows) in POLICIES.items():
        lab.load(SNAPSHOT)
        lab.change(policy)
        found |= probe(lab, name, list(rows), expect_all=False)
    return found


@pytest.mark.parametrize(("policy", "row"), CASES, ids=lambda each: str(each))
def test_row(outcomes: Outcomes, policy: str, row: Row) -> None:
    """The policy decides as its table says, and nothing but the policy does."""
    outcome = outcomes[policy, row]
    assert got_through(row, outcomes["none", row]), "not even without the ruleset"
    assert got_through(row, outcome) == row.allowed
    assert outcome.answered == row.allowed
    if row.seen_as is not None and row.protocol != "ping":
        assert outcome.seen_as == row.seen_as


def test_denied_packets_are_counted_by_reason(lab: Lab, outcomes: Outcomes) -> None:
    """`volt net status` can say why."""
    lab.load(SNAPSHOT)
    expected = {
        "between-networks": Row("web", CACHE, "tcp", 80, False),
        "no-way-out": Row("iso", OUTSIDE, "tcp", 80, False),
        "workload-from-outside": Row("outside", WEB, "tcp", 80, False),
        "host-from-workload": Row("web", HOST, "tcp", 22, False),
        "gateway-from-outside": Row("outside", "10.0.0.1", "tcp", 22, False),
        "host-closed": Row("outside", HOST, "tcp", 80, False),
    }
    before = lab.drops()
    probe(lab, "counted", list(expected.values()), expect_all=False)
    after = lab.drops()
    assert {name for name in expected if after[name] > before[name]} == set(expected)


def got_through(row: Row, outcome: Outcome) -> bool:
    """Whether the target saw it. (Without a ruleset a UDP answer may come from another address.)"""
    return outcome.answered if row.protocol == "ping" else outcome.arrived


def serve(lab: Lab) -> None:
    ports = [22, 53, 80, 7999, 8000, 8010, 8011]
    for name in ("host", "outside", "web", "app", "cache", "iso", "other"):
        where = lab.path(name)
        lab.run(lab.traffic.serve(where, tcp=ports, udp=[53, 80, 8000]))
        lab.run(lab.traffic.serve(where, tcp=ports, udp=[53, 80], ipv6=True))


def probe(lab: Lab, policy: str, rows: list[Row], *, expect_all: bool) -> Outcomes:
    found = dict(zip(rows, attempt(lab, rows, SOON), strict=True))
    late = [row for row in rows if (expect_all or row.allowed) and not got_through(row, found[row])]
    found.update(zip(late, attempt(lab, late, PATIENT), strict=True))
    return {(policy, row): outcome for row, outcome in found.items()}


def attempt(lab: Lab, rows: list[Row], within: float) -> list[Outcome]:
    tries = [
        {
            "source": lab.path(row.source),
            "target": row.target,
            "protocol": row.protocol,
            "port": row.port,
        }
        for row in rows
    ]
    outcomes = lab.run(lab.traffic.probe(tries, within)) if tries else []
    return [msgspec.convert(each, Outcome) for each in outcomes]
