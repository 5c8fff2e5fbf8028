"""The table of an order, the ledger and the times of renewal: all decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from volt_agent.ingress.acme import ledger, renewal
from volt_agent.ingress.acme.ledger import FIRST_DELAY, LAST_DELAY, PendingOrder, Record, Setback
from volt_agent.ingress.acme.order import ROWS, next_step, pause
from volt_agent.ingress.acme.problem import Problem, one_line

FAILED = Problem("order", "no")
ORDER = PendingOrder("https://ca.example/dir", "KEY")
jitters = st.floats(0, 1)


def test_every_order_ends() -> None:
    """From each row some answers of the CA lead to the certificate or to a back-off; what nobody
    knows ends it too."""
    steps = {step for step, _ in ROWS.values()}
    assert steps == {"place", "answer", "wait", "finalise", "download", "give up"}
    for (order, authorisation), expected in ROWS.items():
        assert next_step(order, authorisation) == expected
        if order != "pending":
            assert next_step(order, "whatever") == expected, "it does not matter any more"
    assert next_step("pending", "whatever")[0] == "give up"
    assert next_step("whatever", "valid")[0] == "give up"


def test_looks_grow_rare_but_not_too_rare() -> None:
    """A quick CA is not waited for, a slow one not pestered; what it asks for is kept to."""
    waits = [pause(looks, None) for looks in range(20)]
    assert waits == sorted(waits)
    assert waits[0] < 0.5
    assert waits[-1] == 5.0
    assert pause(0, 7.0) == 7.0
    assert pause(0, 1e9) == 60.0
    assert pause(0, 0.0) > 0


@given(st.integers(1, 10_000), jitters)
def test_delays_double_up_to_six_hours(attempts: int, jitter: float) -> None:
    """From one minute; jitter never makes them shorter than that."""
    delay = ledger.delay_after(attempts, jitter)
    assert FIRST_DELAY <= delay <= LAST_DELAY
    assert ledger.delay_after(attempts + 1, jitter) >= delay


@given(jitters, st.floats(0, 1e12))
def test_a_ca_may_ask_for_more_time(jitter: float, asked: float) -> None:
    """Never for less, and not for ever."""
    setback = ledger.after(None, replace(FAILED, retry_after=asked), 1000.0, jitter)
    wait = setback.wait(1000.0)
    assert wait >= FIRST_DELAY
    assert wait >= min(asked, ledger.RETRY_AFTER_MAX)
    assert wait <= ledger.RETRY_AFTER_MAX


def test_preflight_is_no_attempt() -> None:
    """It is looked again every minute, and what failed before is not forgotten."""
    first = ledger.after(None, FAILED, 0.0, 0.0)
    second = ledger.after(first, FAILED, 100.0, 0.0)
    found = ledger.after(second, Problem("dns", "no name", is_preflight=True), 500.0, 0.0)
    assert (first.attempts, second.attempts, found.attempts) == (1, 2, 2)
    assert found.wait(500.0) == FIRST_DELAY


@given(st.floats(-1e9, 1e9))
def test_a_changed_clock_does_not_make_it_longer(change: float) -> None:
    """Whatever the time is said to be, the wait is at most what it was."""
    setback = Setback(1, 1000.0, 1060.0, "order", "no")
    assert 0 <= setback.wait(1000.0 + change) <= 60.0


def test_an_attempt_is_entered_before_it_is_made() -> None:
    """What is on disk while the CA is asked, says what to do if nothing more comes."""
    begun = ledger.begun(Record(directory="d", renew_at=5.0), ORDER, 1000.0, 0.0)
    assert begun.setback is not None
    assert begun.setback.kind == "interrupted"
    assert begun.setback.wait(1000.0) == FIRST_DELAY
    placed = ledger.placed(begun, "https://ca.example/order/1")
    assert placed.order == PendingOrder(ORDER.directory, "KEY", "https://ca.example/order/1")
    assert (placed.directory, placed.renew_at) == ("d", 5.0)


@pytest.mark.parametrize(
    ("problem", "url", "keeps_order", "is_mine"),
    [
        (Problem("timeout", "slow"), "u", True, True),
        (Problem("order", "invalid", is_final=True), "u", False, True),
        (Problem("directory", "down", "account"), "u", True, False),
        (Problem("directory", "down", "account"), None, False, False),
        (Problem("rate-limited", "later"), None, False, True),
    ],
)
def test_what_is_left_of_a_failed_attempt(
    problem: Problem, url: str | None, keeps_order: bool, is_mine: bool
) -> None:
    """An order that may still become something; and the set-back, of whoever has to wait."""
    begun = ledger.begun(Record(), replace(ORDER, url=url), 0.0, 0.0)
    setback = ledger.after(None, problem, 0.0, 0.0)
    record = ledger.failed(begun, None, problem, setback)
    assert (record.order is not None) == keeps_order
    assert record.setback == (setback if is_mine else None)


@given(st.floats(0, 2e9), st.floats(60, 400 * 86400), jitters)
def test_renewal_is_at_two_thirds(begins: float, lifetime: float, jitter: float) -> None:
    """Or a little earlier; certificates of a minute and of a year."""
    renew_at = renewal.renewal_time(begins, begins + lifetime, jitter)
    assert begins + lifetime * 0.6 < renew_at < begins + lifetime * 0.67
    later = renewal.not_at_once(0.0, lifetime, begins)
    assert begins + lifetime * 0.3 < later < begins + lifetime * 0.4


def test_nothing_is_due_while_a_certificate_is_good() -> None:
    """It is without one, for an order under way, at its time, and for another CA."""

    def is_due(record: Record, now: float = 0.0, *, has_certificate: bool = True) -> bool:
        return renewal.is_due(record, has_certificate=has_certificate, directory="d", now=now)

    assert not is_due(Record())
    assert not is_due(Record(directory="d", renew_at=10.0))
    assert is_due(Record(), has_certificate=False)
    assert is_due(Record(order=ORDER))
    assert is_due(Record(directory="d", renew_at=10.0), now=10.0)
    assert is_due(Record(directory="other", renew_at=10.0))


@given(st.text())
def test_what_others_write_is_one_line(text: str) -> None:
    """Printable, and no longer than a list can show."""
    line = one_line(text)
    assert len(line) <= 300
    assert line.isprintable()
