"""The way back from an unconfirmed change: exact, once, and in time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import site, with_rule
from volt_agent.errors import Invalid, Refused
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.rules.confirm import (
    confirmed,
    guarded,
    parse_window,
    rolled_back,
    seconds_left,
    waiting,
)
from volt_agent.rules.firewall import add_rule, delete_rule, flush_rules
from volt_agent.store.codec import objects, rows


def add(snapshot: Snapshot, name: str) -> Change:
    return add_rule(snapshot, name, "any", "host", "drop")


CHANGES: Any = {
    "add": lambda snapshot: add(snapshot, "new"),
    "delete": lambda snapshot: delete_rule(snapshot, "b"),
    "flush": flush_rules,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_way_back_leads_back(kind: str) -> None:
    """After any change the rules are as they were, in their order, also through the store."""
    before = with_rule(with_rule(with_rule(site(), "a"), "b"), "c")
    during = before.apply(guarded(before, CHANGES[kind](before), kind, 30, 1000.0))
    assert during.rules != before.rules
    pending = waiting(during)
    assert pending is not None
    assert objects(rows([pending])) == (pending,)
    after = during.apply(rolled_back(during, pending))
    assert (after.rules, after.unconfirmed) == (before.rules, {})


def test_one_waits_at_a_time() -> None:
    """Other changes are refused meanwhile, with what waits; one that changes nothing is not."""
    snapshot = site()
    snapshot = snapshot.apply(guarded(snapshot, add(snapshot, "x"), "rule x added", 30, 1000.0))
    with pytest.raises(Refused, match=r"rule x added \(rolled back in 20 s\)"):
        guarded(snapshot, add(snapshot, "y"), "rule y added", None, 1010.0)
    assert guarded(snapshot, add(snapshot, "x"), "", 30, 1010.0).is_empty
    confirmed_snapshot = snapshot.apply(confirmed(snapshot))
    assert "x" in confirmed_snapshot.rules
    assert guarded(confirmed_snapshot, add(snapshot, "y"), "", None, 1010.0).put


def test_nothing_to_confirm() -> None:
    """Neither twice, nor without a change, nor with one that was to change nothing."""
    with pytest.raises(Refused, match="no change waits"):
        confirmed(site())
    assert guarded(site(), flush_rules(site()), "", 30, 0.0).is_empty
    assert waiting(site().apply(guarded(site(), add(site(), "x"), "", None, 0.0))) is None


def test_a_confirmation_in_the_last_moment_wins() -> None:
    """Rolling back what was confirmed, or replaced by another that waits, does nothing."""
    snapshot = site()
    first = snapshot.apply(guarded(snapshot, add(snapshot, "x"), "x", 30, 1000.0))
    pending = waiting(first)
    assert pending is not None
    kept = first.apply(confirmed(first))
    assert rolled_back(kept, pending).is_empty
    second = kept.apply(guarded(kept, add(kept, "y"), "y", 30, 1000.0))
    assert rolled_back(second, pending).is_empty


@given(passed=st.floats(-1e6, 1e6))
def test_the_clock_may_be_set(passed: float) -> None:
    """Set forward it ends the wait; set back it does not prolong it."""
    snapshot = site()
    after = snapshot.apply(guarded(snapshot, add(snapshot, "x"), "x", 30, 1e9))
    pending = waiting(after)
    assert pending is not None
    left = seconds_left(pending, 1e9 + passed)
    assert left <= 30
    assert (left <= 0) == (passed >= 30)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("2m", 120), ("45", 45), ("60m", 3600)])
def test_windows(text: str, seconds: float) -> None:
    """Seconds and minutes."""
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5s", "2h", "61m", "soon", "1.5s", "99999999s", "٣s"])
def test_windows_that_are_none(text: str) -> None:
    """From one second to one hour, and digits are ASCII."""
    with pytest.raises(Invalid):
        parse_window(text)
