"""Policies by real packets: across networks, round by a forward, one way only, and under a rule.

As in `test_traffic`, each row is one new connection in one state, in the kernel and in the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.firewall.cases import (
    APP,
    CACHE,
    DB_,
    GATEWAY2,
    HOST,
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
            policy("web-to-cache", "allow", "web", "cache", "tcp 6379"),
            policy("app-not-to-web", "deny", "app", "web"),
            policy("app-to-db", "allow", "app", "db", "tcp 80,5432"),
            rule("for-now", 1, "drop", "app", "db", "tcp 5432"),
            forward("tcp 6379", "cache", 6379),
            forward("tcp 80", "web", 8080),
        )
    )
)

CASES = (
    # Into another network: its real source is kept, and the way through the host's forward is open.
    case("web", CACHE, "tcp 6379", WEB),
    case("web", HOST, "tcp 6379", WEB),
    case("web", CACHE, "tcp 80", None),
    case("web", CACHE, "ping", None),
    case("app", CACHE, "tcp 6379", None),
    case("app", HOST, "tcp 6379", None),
    case("iso", CACHE, "tcp 6379", None),
    # Who is no workload is no matter of policies.
    case("outside", HOST, "tcp 6379", OUTSIDE),
    case("host", CACHE, "tcp 80", GATEWAY2),
    # A deny is about one pair and one direction, also round by a forward, and isolates nobody.
    case("app", WEB, "tcp 9000", None),
    case("app", WEB, "udp 7000", None),
    case("app", WEB, "ping", None),
    case("app", HOST, "tcp 80", None),
    case("db", WEB, "tcp 9000", DB_),
    case("db", HOST, "tcp 80", DB_),
    case("web", APP, "tcp 9000", WEB),
    case("web", APP, "ping", ""),
    case("outside", HOST, "tcp 80", OUTSIDE),
    # A rule that drops comes before the policy that allows.
    case("app", DB_, "tcp 5432", None),
    case("app", DB_, "tcp 80", APP),
)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[Case, Outcome]]:
    bed = Lab()
    try:
        yield outcomes_of(bed, STATE, CASES, (80, 5432, 6379, 8080, 9000), (7000,))
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
