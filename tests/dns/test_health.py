"""Which upstream server is asked first, and what makes one silent."""

from __future__ import annotations

import pytest

from volt_agent.dns.health import (
    FIRST_PATIENCE,
    PATIENCE_MAX,
    PATIENCE_MIN,
    RACE_EVERY,
    SILENT_AFTER,
    Health,
    Roster,
    name_of,
)

A, B, C = ("192.0.2.1", 53), ("192.0.2.2", 53), ("192.0.2.3", 53)


def heard(health: Health, *waits: float) -> Health:
    for wait in waits:
        health.note_question(0.0)
        health.note_answer(0.0, wait)
    return health


def roster_of(**round_trips: float) -> Roster:
    """Servers A, B, C with these round trips; all were asked just now."""
    roster = Roster((A, B, C)[: len(round_trips)])
    for health, wait in zip(roster.healths, round_trips.values(), strict=True):
        heard(health, wait)
    return roster


@pytest.mark.parametrize(
    ("roster", "order"),
    [
        pytest.param(Roster((A, B)), [A, B], id="as configured"),
        pytest.param(roster_of(a=0.03, b=0.02), [A, B], id="about as fast"),
        pytest.param(roster_of(a=0.08, b=0.01), [B, A], id="much faster"),
        pytest.param(roster_of(), [], id="none"),
    ],
)
def test_order(roster: Roster, order: list[tuple[str, int]]) -> None:
    """The fastest first; of equals, the one that is configured first."""
    assert roster.order(1.0)[0] == order


def test_one_that_kept_silent_comes_last() -> None:
    """Until it is heard again."""
    roster = roster_of(a=0.01, b=0.05)
    roster[A].note_question(1.0)
    assert not roster[A].note_silence(1.0)
    assert roster.order(1.0)[0] == [B, A]
    assert not roster[A].note_answer(2.0, 0.01)
    assert roster.order(2.0)[0] == [A, B]


def test_a_slow_name_is_no_silence() -> None:
    """A server that has answered something else meanwhile is there."""
    health = Health(A, 0)
    health.note_question(1.0)
    health.note_answer(2.0, 0.01)
    assert not health.note_silence(1.5)
    assert health.unanswered == 0


def test_silent_and_back() -> None:
    """Each is told once."""
    health = Health(A, 0)
    told = [health.note_silence(1.0) for _ in range(SILENT_AFTER + 2)]
    assert told == [False] * (SILENT_AFTER - 1) + [True, False, False]
    assert health.is_silent
    assert [health.note_answer(2.0, 0.01), health.note_answer(2.0, 0.01)] == [True, False]


def test_one_that_cannot_be_reached_is_silent_at_once() -> None:
    """The kernel says so, there is nothing to wait for."""
    health = Health(A, 0)
    assert [health.note_failure(), health.note_failure()] == [True, False]


def test_every_other_server_races_now_and_then() -> None:
    """One at a time, at the place of the second."""
    roster = roster_of(a=0.01, b=0.02, c=0.03)
    assert roster.order(RACE_EVERY - 1) == ([A, B, C], 1)
    roster[B].note_question(RACE_EVERY - 1)
    assert roster.order(RACE_EVERY) == ([A, C, B], 2)
    roster[C].note_question(RACE_EVERY)
    assert roster.order(RACE_EVERY) == ([A, B, C], 1)


@pytest.mark.parametrize(
    ("waits", "least", "most"),
    [
        ((), FIRST_PATIENCE, FIRST_PATIENCE),
        ((0.001,) * 50, PATIENCE_MIN, PATIENCE_MIN),
        ((0.15,) * 50, 0.15, 0.2),
        ((0.05, 0.15) * 20, 0.2, 0.4),
        ((3.0,), PATIENCE_MAX, PATIENCE_MAX),
    ],
)
def test_patience_follows_the_round_trip(
    waits: tuple[float, ...], least: float, most: float
) -> None:
    """RFC 6298, within bounds."""
    assert least <= heard(Health(A, 0), *waits).patience <= most


def test_what_is_known_survives_a_reload() -> None:
    """Of the servers that stay; their places may be others."""
    roster = roster_of(a=0.01, b=0.02)
    roster.replace((C, B))
    assert (roster[B].round_trip, roster[B].rank, A in roster, len(roster)) == (0.02, 1, False, 2)


def test_names() -> None:
    """As they are configured."""
    assert [name_of(A), name_of(("2001:db8::1", 5353))] == ["192.0.2.1:53", "[2001:db8::1]:5353"]
    assert repr(heard(Health(A, 0), 0.02)) == "<Health of 192.0.2.1:53 [UP, 20 ms]>"
