"""Rules, policies and forwards by real packets: who reaches whom, and as whom it is seen.

One state holds what the handbook's examples hold; each row is one new connection in it, and the
model behind `policy test` has to say the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.firewall import lab
from tests.firewall.cases import (
    APP,
    CACHE,
    DB_,
    GATEWAY,
    GATEWAY2,
    GATEWAY3,
    HOST,
    ISO,
    LOOPBACK,
    OTHER,
    OUTSIDE,
    WEB,
    Case,
    case,
    outcomes_of,
)
from tests.firewall.lab import DB, SNAPSHOT, Lab
from tests.firewall.objects import forward, policy, rule
from tests.support.traffic import Outcome
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel

STATE = SNAPSHOT.apply(
    Change(
        put=(
            DB,
            policy("app-to-db", "allow", "app", "db", "tcp 5432"),
            policy("no-cache-to-web", "deny", "cache", "web"),
            rule("block-ssh", 1, "drop", "any", "web", "tcp 22"),
            rule("allow-http", 2, "accept", "any", "web", "tcp 81,444"),
            rule("db-access", 3, "accept", "10.0.0.0/24", "cache", "tcp 6379"),
            rule("no-way-round", 4, "accept", "10.0.0.0/24", "db", "tcp 5432"),
            rule("refused", 5, "reject", "web", "app", "udp 9"),
            rule("refused-tcp", 6, "reject", "default", "app", "tcp 9"),
            rule("big", 7, "drop", "web", "app", "tcp 20000-30000"),
            rule("nothing-out", 8, "drop", "web", "192.0.2.0/24", "tcp 25"),
            rule("host-8080", 9, "accept", "outside", "host", "tcp 8080"),
            rule("no-8001", 10, "drop", "192.0.2.0/24", "host", "tcp 8001"),
            rule("host-for-web", 11, "accept", "web", "host", "tcp 9000"),
            forward("tcp 80", "web", 8080),
            forward("tcp 2222", "web", 22),
            forward("udp 5353", "web", 5353),
            forward("tcp 5432", "db", 5432),
            forward("tcp 6380", "cache", 6380),
            forward("tcp 7000-7010", "web", 17000),
            forward("udp 7000-7010", "web", 17000),
            forward("tcp 7100", "web", 8080, HOST),
        )
    )
)


CASES = (
    # Same network.
    case("web", APP, "tcp 9000", WEB),
    case("web", APP, "ping", ""),
    case("web", APP, "udp 7000", WEB),
    # Policies, on one bridge too.
    case("app", DB_, "tcp 5432", APP),
    case("web", DB_, "tcp 5432", None),
    case("app", DB_, "tcp 22", None),
    case("web", DB_, "udp 5432", None),
    case("web", DB_, "ping", None),
    case("db", WEB, "tcp 9000", DB_),
    # Different networks.
    case("web", CACHE, "tcp 80", None),
    case("cache", APP, "tcp 8080", None),
    case("cache", WEB, "tcp 81", None),
    # Out.
    case("web", OUTSIDE, "tcp 80", HOST),
    case("web", OUTSIDE, "udp 53", HOST),
    case("iso", OUTSIDE, "tcp 80", None),
    case("web", OTHER, "tcp 80", "172.31.0.1"),
    case("other", WEB, "tcp 8080", None),
    # To the host.
    case("web", GATEWAY, "tcp 22", None),
    case("web", HOST, "tcp 22", None),
    case("web", GATEWAY, "tcp 53", WEB),
    case("web", GATEWAY, "udp 53", WEB),
    case("web", GATEWAY2, "udp 53", None),
    case("web", GATEWAY, "ping", ""),
    case("web", GATEWAY2, "ping", None),
    case("iso", GATEWAY3, "udp 53", ISO),
    case("outside", HOST, "tcp 22", OUTSIDE),
    case("outside", GATEWAY, "tcp 53", None),
    case("outside", WEB, "tcp 8080", None),
    # From the host.
    case("host", WEB, "tcp 8080", GATEWAY),
    case("host", DB_, "tcp 5432", GATEWAY),
    case("host", WEB, "tcp 22", GATEWAY),
    case("host", OUTSIDE, "tcp 80", HOST),
    case("host", LOOPBACK, "tcp 9000", LOOPBACK),
    # Forwards: the source is kept, an isolated target and another network are reached.
    case("outside", HOST, "tcp 80", OUTSIDE),
    case("outside", HOST, "udp 5353", OUTSIDE),
    case("outside", HOST, "tcp 5432", OUTSIDE),
    case("outside", HOST, "tcp 6380", OUTSIDE),
    case("outside", HOST, "tcp 7000", OUTSIDE),
    case("outside", HOST, "tcp 7010", OUTSIDE),
    case("outside", HOST, "udp 7003", OUTSIDE),
    case("outside", HOST, "tcp 7011", None),
    case("outside", HOST, "tcp 7100", OUTSIDE),
    case("outside", GATEWAY, "tcp 7100", None),
    # ... by the host itself, ...
    case("host", LOOPBACK, "tcp 80", ""),
    case("host", HOST, "tcp 80", ""),
    case("host", LOOPBACK, "udp 5353", ""),
    case("host", LOOPBACK, "tcp 6380", ""),
    case("host", HOST, "tcp 7100", ""),
    # ... and by workloads: same network, itself, never round a policy or into another network.
    case("app", HOST, "tcp 80", APP),
    case("app", GATEWAY, "tcp 80", APP),
    case("app", GATEWAY, "udp 5353", APP),
    case("web", HOST, "tcp 80", ""),
    case("web", HOST, "udp 5353", ""),
    case("web", HOST, "tcp 5432", None),
    case("app", HOST, "tcp 5432", APP),
    case("web", HOST, "tcp 6380", None),
    # Rules: the target's port counts behind a forward; an accept opens what the defaults deny.
    case("app", WEB, "tcp 22", None),
    case("outside", HOST, "tcp 2222", None),
    case("outside", WEB, "tcp 81", OUTSIDE),
    case("iso", WEB, "tcp 444", ISO),
    case("web", CACHE, "tcp 6379", WEB),
    case("web", CACHE, "tcp 22", None),
    case("db", APP, "tcp 9", None),
    case("web", APP, "udp 9", None),
    case("web", APP, "tcp 20500", None),
    case("web", APP, "tcp 30000", None),
    case("web", APP, "tcp 30001", WEB),
    case("web", OUTSIDE, "tcp 25", None),
    case("app", OUTSIDE, "tcp 25", HOST),
    case("outside", HOST, "tcp 8080", OUTSIDE),
    case("outside", HOST, "tcp 8001", None),
    case("web", HOST, "tcp 9000", WEB),
    case("web", GATEWAY, "tcp 9000", WEB),
    case("app", HOST, "tcp 9000", None),
)

_TCP = (9, 22, 25, 53, 80, 81, 444, 5432, 6379, 6380, 8001, 8080, 9000)
_HIGH_TCP = (17000, 17010, 20500, 30000, 30001)
_UDP = (9, 53, 80, 5353, 5432, 7000, 17003)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[Case, Outcome]]:
    bed = Lab()
    try:
        yield outcomes_of(bed, STATE, CASES, (*_TCP, *_HIGH_TCP), _UDP)
    finally:
        bed.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(outcomes: dict[Case, Outcome], case: Case) -> None:
    """A packet arrives where it should, as whom it should."""
    case.check(outcomes[case])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_model_says_the_same(case: Case) -> None:
    """`policy test` answers what the kernel does."""
    case.check_model(STATE)


def test_reject_answers_at_once(outcomes: dict[Case, Outcome]) -> None:
    """As if nothing listened there, also between two ports of one bridge."""
    assert outcomes[case("db", APP, "tcp 9", None)].error == "ECONNREFUSED"
    assert outcomes[case("web", APP, "udp 9", None)].error == "ECONNREFUSED"


def test_lab_is_what_the_cases_say() -> None:
    """The addresses above are those of the lab."""
    assert str(lab.WEB.address) == WEB
    assert str(lab.DB.address) == DB_
