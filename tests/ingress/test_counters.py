"""What is counted, and what it comes to."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.ingress.counters import BOUNDS, PERIOD, Traffic, quantile


@given(st.lists(st.floats(0, 3600, allow_subnormal=False), min_size=1, max_size=20))
def test_each_request_is_in_the_bucket_of_its_time(seconds: list[float]) -> None:
    """Whatever it is: within an eighth above, or at an end of the scale."""
    for each in seconds:
        traffic = Traffic(5000.0 - each)
        traffic.count(200, 5000.0 - each, 5000.0, 0, 0)
        bucket = traffic.whole().index(1)
        assert each < BOUNDS[bucket] + 1e-9 or bucket == len(BOUNDS) - 1
        assert bucket == 0 or each >= BOUNDS[bucket - 1] * 0.999 - 8e-6


def test_the_bounds_grow_evenly() -> None:
    """By at most a quarter each."""
    assert BOUNDS[0] < 20e-6
    assert BOUNDS[-1] > 120
    steps = [after / before for before, after in pairwise(BOUNDS)]
    assert all(1 < step < 1.251 for step in steps)


def test_quantiles() -> None:
    """Of a hundred requests with one slow one among them."""
    traffic = Traffic(0.0)
    for each in range(100):
        traffic.count(200, 1.0, 2.0 if each == 50 else 1.001, 0, 0)
    found = traffic.latest(3.0)
    assert quantile(found, 0.5) == pytest.approx(0.001, rel=0.25)
    assert quantile(found, 0.99) == pytest.approx(0.001, rel=0.25)
    assert quantile(found, 1.0) == pytest.approx(1.0, rel=0.25)
    assert quantile(Traffic(0.0).whole(), 0.5) is None


def test_requests_are_counted_by_class() -> None:
    """With bytes, time and errors."""
    traffic = Traffic(0.0)
    for status in (200, 204, 404, 499, 502, 504, 101):
        traffic.count(status, 1.0, 1.5, 10, 20)
    assert traffic.classes[:6] == [0, 1, 2, 0, 2, 2]
    assert (traffic.requests, traffic.errors) == (7, 2)
    assert (traffic.received, traffic.sent, traffic.seconds) == (70, 140, 3.5)


def test_the_latest_requests_are_those_of_a_minute_or_two() -> None:
    """The sum keeps them all."""
    traffic = Traffic(0.0)
    for moment in (1.0, 50.0, 70.0, 100.0):
        traffic.count(200, moment, moment, 0, 0)
    assert sum(traffic.latest(110.0)) == 4
    assert sum(traffic.latest(PERIOD * 2 + 1)) == 2
    assert sum(traffic.latest(PERIOD * 9)) == 0
    traffic.count(200, 1000.0, 1000.0, 0, 0)
    assert sum(traffic.latest(1000.0)) == 1
    assert sum(traffic.whole()) == traffic.requests == 5


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Ten a second stay ten a second, wherever a period ends; then none."""
    traffic = Traffic(0.0)
    for tenth in range(1500):
        traffic.count(200, tenth / 10, tenth / 10, 0, 0)
    assert traffic.rate(150.0) == pytest.approx(10.0, rel=0.02)
    assert traffic.rate(1000.0) == 0.0


def test_counting_costs_less_than_a_microsecond_or_so() -> None:
    """Ten times that at most."""
    traffic, count = Traffic(0.0), 20_000
    started = time.thread_time()
    for _ in range(count):
        traffic.count(200, 1.0, 1.001, 0, 100)
    assert (time.thread_time() - started) / count < 10e-6
