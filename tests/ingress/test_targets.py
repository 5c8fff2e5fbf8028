"""Who gets the next request."""

from __future__ import annotations

from volt_agent.ingress.targets import Endpoint, Target


def target(*outstanding: int) -> Target:
    found = Target("web")
    endpoints = [Endpoint((f"10.0.0.{number}", 80), "web:80") for number in range(len(outstanding))]
    for each, count in zip(endpoints, outstanding, strict=True):
        each.outstanding = count
    found.lead_to(endpoints)
    return found


def test_the_least_busy_endpoint_is_picked() -> None:
    """Whatever the turn."""
    busy = target(3, 1, 2)
    assert {busy.pick() for _ in range(6)} == {busy.endpoints[1]}


def test_ties_are_broken_in_rotation() -> None:
    """Each of three idle ones gets a third."""
    idle = target(0, 0, 0)
    picked = [idle.pick() for _ in range(30)]
    assert {picked.count(each) for each in idle.endpoints} == {10}


def test_what_is_not_usable_or_was_tried_is_passed_over() -> None:
    """None when nobody is left."""
    two = target(0, 5)
    first, second = two.endpoints
    assert two.pick({first}) is second
    first.is_usable = False
    two.refresh()
    assert two.pick() is second
    assert two.pick({second}) is None
    second.is_usable = False
    two.refresh()
    assert two.pick() is None
