"""From results to standings."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.config import HealthSection
from volt_agent.ingress.health import Check, Result, Standing, State, after, delay
from volt_agent.model.route import Backend, Route

RISE_2_FALL_3 = HealthSection(rise=2, fall=3)
RESULTS: tuple[Result, ...] = ("passed", "failed", "served", "missed")


def run(*results: Result, start: State = "checking") -> Standing:
    standing = Standing(start)
    for moment, each in enumerate(results, 1):
        standing = after(standing, each, "why", RISE_2_FALL_3, float(moment))
    return standing


@pytest.mark.parametrize(
    ("start", "results", "state"),
    [
        ("checking", (), "checking"),
        ("checking", ("passed",), "healthy"),
        ("checking", ("failed", "failed"), "checking"),
        ("checking", ("failed", "failed", "failed"), "unhealthy"),
        ("checking", ("failed", "failed", "passed"), "healthy"),
        ("checking", ("served",) * 9, "checking"),
        ("healthy", ("failed", "failed"), "healthy"),
        ("healthy", ("failed", "missed", "failed"), "unhealthy"),
        ("healthy", ("missed",) * 3, "unhealthy"),
        ("healthy", ("missed", "missed", "served", "missed", "missed"), "healthy"),
        ("healthy", ("failed", "failed", "passed", "failed", "failed"), "healthy"),
        ("unhealthy", ("passed",), "unhealthy"),
        ("unhealthy", ("passed", "passed"), "healthy"),
        ("unhealthy", ("passed", "failed", "passed"), "unhealthy"),
        ("unhealthy", ("served",) * 9, "unhealthy"),
        ("unhealthy", ("passed", "served", "missed", "passed"), "healthy"),
    ],
)
def test_rise_and_fall(start: State, results: tuple[Result, ...], state: State) -> None:
    """With rise 2 and fall 3; a first pass is enough for a new one."""
    assert run(*results, start=start).state == state


def test_a_standing_knows_since_when_and_why() -> None:
    """The reason stays until it is healthy again."""
    standing = run("passed", "failed", "failed", "missed", "failed", "passed")
    assert standing == Standing("unhealthy", 4.0, "why", 1)
    standing = after(standing, "passed", None, RISE_2_FALL_3, 9.0)
    assert standing == Standing("healthy", 9.0, None, 2)


def test_good_news_of_a_healthy_one_is_no_news() -> None:
    """The same object: the data path asks for each request."""
    healthy = run("passed")
    assert after(healthy, "served", None, RISE_2_FALL_3, 5.0) is healthy


@given(st.lists(st.sampled_from(RESULTS), max_size=60))
def test_only_checks_make_usable(results: list[Result]) -> None:
    """Whatever happens: usable exactly after a pass that no run of bad results has followed."""
    standing = run(*results)
    if "passed" not in results:
        assert not standing.is_usable
    if all(each in ("passed", "served") for each in results[-2:]) and "passed" in results[-1:]:
        assert standing.is_usable or standing.state == "unhealthy"
    assert standing.failures <= len(results)


@given(st.integers(0, 200), st.sampled_from((0.1, 5.0, 3600.0)))
def test_retries_back_off_to_the_interval(failures: int, interval: float) -> None:
    """Soon after the first failure, never later than the interval."""
    settings = HealthSection(interval=interval)
    delays = [delay(Standing(streak=-each), settings) for each in (failures, failures + 1)]
    if failures:
        assert delays[0] <= delays[1] <= interval
    else:
        assert delays[0] == interval
        assert delays[1] == min(0.05, interval)


@pytest.mark.parametrize(
    ("hostname", "path", "tls", "expected"),
    [
        ("a.example", None, "off", Check(("192.0.2.1", 80))),
        ("a.example", "/up", "off", Check(("192.0.2.1", 80), "/up", "a.example")),
        ("*.example", "/up", "auto", Check(("192.0.2.1", 80), "/up", "health-check.example")),
        ("*", "/up", "off", Check(("192.0.2.1", 80), "/up", "192.0.2.1:80")),
        ("a.example", "/up", "passthrough", Check(("192.0.2.1", 80))),
    ],
)
def test_the_check_of_a_route(hostname: str, path: str | None, tls: str, expected: Check) -> None:
    """A GET at a host that the route serves; connections only where TLS is not ours to end."""
    route = Route("web", 1, hostname, "/", (Backend("web", 80),), tls=tls, health_path=path)  # type: ignore[arg-type]
    assert Check.of(route, ("192.0.2.1", 80)) == expected


def test_every_state_takes_every_result() -> None:
    """And nothing but a state comes out."""
    states: tuple[State, ...] = ("checking", "healthy", "unhealthy")
    for state, result in product(states, RESULTS):
        standing = Standing(state)
        for _ in range(4):
            standing = after(standing, result, None, RISE_2_FALL_3, 1.0)
            assert standing.state in states
