"""Which rules and policies are about a workload."""

from __future__ import annotations

import pytest

from tests.rules.build import site, with_policy, with_rule
from volt_agent.rules.concern import Subject, policies_about, rules_about


def subject(name: str) -> Subject:
    snapshot = site()
    networks = [each.network for each in snapshot.connections_of.get(name, ())]
    return Subject(name, networks, snapshot.addresses_of(name))


@pytest.mark.parametrize(
    ("dest", "means_web"),
    [
        ("web", True),
        ("backend", True),
        ("10.30.0.10", True),
        ("10.30.0.0/28", True),
        ("db", False),
        ("frontend", False),
        ("10.30.0.128/25", False),
        ("any", False),
    ],
)
def test_a_rule_is_about_those_it_singles_out(dest: str, means_web: bool) -> None:
    """By name, by a network they are on, by a range that holds an address of theirs."""
    snapshot = with_rule(site(), "rule", dest=dest)
    assert [each.name for each in rules_about(subject("web"), snapshot)] == ["rule"] * means_web


def test_a_rule_is_about_its_source_too() -> None:
    """And rules stand in the order in which they are asked."""
    snapshot = with_rule(with_rule(site(), "later"), "from-web", source="web", dest="db")
    assert [each.name for each in rules_about(subject("web"), snapshot)] == ["later", "from-web"]


def test_policies_are_about_both_ends() -> None:
    """Of a workload or of its network."""
    snapshot = with_policy(site(), "one", "web", "db")
    snapshot = with_policy(snapshot, "two", "backend", "api")
    assert [each.name for each in policies_about(subject("web"), snapshot)] == ["one", "two"]
    assert [each.name for each in policies_about(subject("idle"), snapshot)] == []
