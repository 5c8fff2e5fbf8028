"""/metrics and the loop's lag."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.control.rig import PATIENCE, Rig
from volt_agent import __version__
from volt_agent.control.loop_lag import LoopLag, lags_of
from volt_agent.control.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample by its name and its label values, read by Prometheus' own parser."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (each.name, ",".join(each.labels.values())): each.value
        for family in families
        for each in family.samples
    }


def test_values_are_read_when_they_are_scraped() -> None:
    """A gauge follows its source without being set."""
    metrics, size = Metrics(), [1]
    metrics.gauge("volt_workloads", "Known workloads", lambda: size[0])
    assert samples(metrics)["volt_workloads", ""] == 1
    size[0] = 2
    assert samples(metrics)["volt_workloads", ""] == 2


def test_a_mapping_becomes_one_sample_for_each_label() -> None:
    """Counters get the suffix that OpenMetrics wants."""
    metrics = Metrics()
    metrics.counter("volt_drops", "Dropped packets", lambda: {"host": 3, "spoofed": 4}, "reason")
    found = samples(metrics)
    assert found["volt_drops_total", "host"] == 3
    assert found["volt_drops_total", "spoofed"] == 4


def test_calls_are_counted_and_timed() -> None:
    """By method and outcome."""
    metrics = Metrics()
    metrics.observe_call("net.list", "ok", 0.002)
    metrics.observe_call("net.list", "not_found", 0.002)
    found = samples(metrics)
    assert found["volt_rpc_calls_total", "ok,net.list"] == 1
    assert found["volt_rpc_duration_seconds_count", "net.list"] == 2


def test_the_version_and_the_process_are_there() -> None:
    """Standard names for standard things."""
    found = samples(Metrics())
    assert found["volt_build_info", __version__] == 1
    assert found["process_resident_memory_bytes", ""] > 1e6


def test_two_agents_in_one_process_do_not_share_metrics() -> None:
    """The registry is our own, not the library's global one."""
    one, other = Metrics(), Metrics()
    one.observe_lag(0.1)
    assert samples(one)["volt_loop_lag_seconds_count", ""] == 1
    assert samples(other)["volt_loop_lag_seconds_count", ""] == 0


def test_calls_over_the_socket_show_up() -> None:
    """The server's own calls are measured, and strangers cannot add names."""
    with Rig() as rig:
        rig.request("POST", "/v1/net.list", b"{}")
        rig.request("POST", "/v1/invented", b"{}")
        _, headers, body = rig.request("GET", "/metrics", over_tcp=True)
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'volt_rpc_calls_total{code="ok",method="net.list"} 1.0' in body
    assert b"invented" not in body


@pytest.mark.parametrize(
    ("late", "lags"),
    [(-0.001, [0.0]), (0.0, [0.0]), (0.02, [0.02]), (0.12, [0.12, 0.07, 0.02])],
)
def test_a_stall_counts_for_every_tick_it_swallowed(late: float, lags: list[float]) -> None:
    """A long stall is not one late tick among many punctual ones."""
    assert lags_of(late, 0.05) == pytest.approx(lags)


@given(st.floats(0, 10), st.floats(0.01, 1))
def test_lags_are_between_nothing_and_the_stall(late: float, interval: float) -> None:
    """One for each tick that was due, the longest first."""
    lags = lags_of(late, interval)
    assert len(lags) == int(late / interval) + 1
    assert lags[0] == late
    assert lags == sorted(lags, reverse=True)
    assert lags[-1] > -1e-9


def test_a_blocked_loop_is_noticed() -> None:
    """Something that blocks for 60 ms is a lag of about as much."""

    async def scenario() -> None:
        seen: list[float] = []
        lag = LoopLag(seen.append, interval=0.01)
        task = asyncio.create_task(lag.run())
        while max(seen, default=0) < 0.04:
            await asyncio.sleep(0.01)  # so that the other task waits as well
            time.sleep(0.06)  # noqa: ASYNC251 - this is the fault that is to be noticed
        task.cancel()
        assert lag.percentile(1) == max(seen)
        assert "p99" in repr(lag)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_percentiles_of_nothing_are_zero() -> None:
    """Before the first tick there is no lag to speak of."""
    assert not math.isnan(LoopLag().percentile(0.99))
    assert LoopLag().percentile(0.99) == 0
