"""What is remembered of upstream answers, and of there being none."""

from __future__ import annotations

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from volt_agent.dns import wire
from volt_agent.dns.memory import FAILURE_MAX, FAILURES_MAX, STALE_FOR, Failures, Memory
from volt_agent.dns.outcome import CACHED, NO_ANSWER, USELESS
from volt_agent.dns.question import Question
from volt_agent.dns.reply import Relayed

from .world import packet


def question(name: str) -> Question:
    return Question(wire.name_from_text(name), 1, False, False)


def said(name: str = "www.example.com", ttl: int = 60, records: int = 1) -> Relayed:
    query = packet(name)
    reply = DNSRecord.parse(query).reply(ra=1, aa=0)
    for number in range(records):
        reply.add_answer(RR(name, QTYPE.A, ttl=ttl, rdata=A(f"192.0.2.{number % 250}")))
    return Relayed(bytes(reply.pack()), len(query), 1000.0)


ONE = question("one.example.com")


def test_replies_outlive_their_ttl() -> None:
    """They may be told again when there is nothing better, for a day."""
    memory, relayed = Memory(), said()
    memory.keep(ONE, relayed)
    assert memory.find(ONE, 1000.0 + 60 + STALE_FOR) is relayed
    assert memory.find(ONE, 1000.0 + 61 + STALE_FOR) is None
    assert len(memory) == 0


def test_what_may_not_be_kept_replaces_what_was() -> None:
    """A TTL of zero says that the old answer is over, too."""
    memory = Memory()
    memory.keep(ONE, said())
    memory.keep(ONE, said(ttl=0))
    assert memory.find(ONE, 1000.0) is None


@pytest.mark.parametrize("records", [1, 40])
def test_memory_is_bounded_by_octets(records: int) -> None:
    """Long replies take more of it; the ones that were not asked for longest go."""
    memory = Memory(limit=100_000)
    for number in range(500):
        memory.keep(question(f"n{number}.example.com"), said(records=records))
        memory.find(question("n0.example.com"), 1000.0)
    assert memory.find(question("n0.example.com"), 1000.0) is not None
    assert memory.find(question("n1.example.com"), 1000.0) is None
    assert memory.find(question("n499.example.com"), 1000.0) is not None
    assert 40 < len(memory) < 200
    assert (memory.clear() > 0, len(memory)) == (True, 0)


def test_the_longest_replies_are_not_kept() -> None:
    """They would push out hundreds of others."""
    memory = Memory()
    memory.keep(ONE, said(records=300))
    assert len(memory) == 0


def test_failures_rest_longer_each_time() -> None:
    """RFC 9520, section 3.2: a second, then twice that, up to a bound."""
    failures, now, spans = Failures(), 0.0, []
    for _ in range(8):
        failures.note(ONE, USELESS, now)
        span = 0.0
        while failures.find(ONE, now + span) is not None:
            span += 0.5
        spans.append(span)
        now += span
    assert spans == [1, 2, 4, 8, 16, FAILURE_MAX, FAILURE_MAX, FAILURE_MAX]


def test_after_a_pause_failures_start_afresh() -> None:
    """It may be another trouble."""
    failures = Failures()
    for now in (0.0, 1.0, 100.0):
        failures.note(ONE, NO_ANSWER, now)
    assert failures.find(ONE, 100.9) is CACHED
    assert failures.find(ONE, 101.0) is None


def test_an_answer_ends_a_failure() -> None:
    """For one question, or for all."""
    failures = Failures()
    failures.note(ONE, USELESS, 0.0)
    failures.drop(ONE)
    assert failures.find(ONE, 0.0) is None
    failures.note(ONE, USELESS, 0.0)
    failures.clear()
    assert failures.find(ONE, 0.0) is None


def test_failures_are_bounded() -> None:
    """The oldest go."""
    failures = Failures()
    for number in range(FAILURES_MAX + 10):
        failures.note(question(f"n{number}.example.com"), USELESS, 0.0)
    assert len(failures) == FAILURES_MAX
    assert failures.find(question("n0.example.com"), 0.0) is None
