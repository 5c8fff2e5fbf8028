"""Figures for people and for Prometheus, from what a real proxy counted."""

from __future__ import annotations

import asyncio
import time

from prometheus_client.parser import text_string_to_metric_families

from tests.ingress.bench import Bench, answers, bench
from volt_agent.ingress.counters import Counters, Traffic
from volt_agent.ingress.figures import OTHERS, ROUTES_SHOWN, Figures, exposition, figures
from volt_agent.ingress.health import Standing
from volt_agent.ingress.observer import Observer
from volt_agent.ingress.targets import Target


def shown(made: Bench, observer: Observer) -> Figures:
    made.do(lambda: None)  # the last answer is out before it is counted
    return asyncio.run(figures(made.proxy, observer.counters, [made.target], time.monotonic()))


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (each.name.removeprefix("volt_ingress_"), tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_status_shows_what_went_through() -> None:
    """Requests, errors, rates and latencies, of the route and of all."""
    with bench(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as made:
        observer = Observer(Counters(time.monotonic()))
        made.proxy.observer = observer
        client = made.client()
        for _ in range(6):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.head()
            client.exactly(2)
        found = shown(made, observer)
        assert (found.requests, found.unrouted, found.connections, found.tunnels) == (6, 0, 1, 0)
        (route,) = found.routes
        assert (route.name, route.requests, route.errors, route.in_flight) == ("web", 6, 0, 0)
        assert route.sent >= 12
        assert found.rate == route.rate == 6 / 60
        assert route.p50 is not None
        assert route.p99 is not None
        assert 0 < route.p50 <= route.p99 < 10


def test_metrics_say_the_same() -> None:
    """In Prometheus' format, as its own parser reads it; buckets add up."""
    with bench(answers(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as made:
        observer = Observer(Counters(0.0))
        made.proxy.observer = observer
        client = made.client()
        for _ in range(4):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.head()
        made.do(observer.counters.note_refusal, "full")
        found = samples(
            exposition(made.proxy, observer, [made.target], lambda _each: Standing("healthy"))
        )
        web = ("route", "web")
        assert found["requests_total", (("code", "5xx"), web)] == 4
        assert found["requests_total", (("code", "2xx"), web)] == 0
        assert found["request_duration_seconds_count", (web,)] == 4
        assert found["request_duration_seconds_bucket", (("le", "+Inf"), web)] == 4
        buckets = [
            value
            for (name, labels), value in found.items()
            if name == "request_duration_seconds_bucket" and web in labels
        ]
        assert buckets == sorted(buckets)
        assert found["request_duration_seconds_sum", (web,)] > 0
        assert found["connections", (("listener", "http"),)] == 1
        assert found["refused_total", (("reason", "full"),)] == 1
        assert found["access_log_lost_total", ()] == 0
        (endpoint,) = made.target.endpoints
        backend = ("address", "{}:{}".format(*endpoint.address)), ("backend", endpoint.backend), web
        assert found["backend_healthy", backend] == 1


def test_many_routes_share_a_series() -> None:
    """So that a scrape stays short; nothing is left out of the sum."""
    targets = []
    for number in range(ROUTES_SHOWN + 50):
        target = Target(f"r{number}")
        target.bits = traffic = Traffic(0.0)
        traffic.count(200, 1.0, 1.5, 1, 1)
        targets.append(target)
    with bench(answers()) as made:
        text = exposition(
            made.proxy, Observer(Counters(0.0)), targets, lambda _each: Standing("healthy")
        )
    found = samples(text)
    counts = {
        dict(labels)["route"]: value
        for (name, labels), value in found.items()
        if name == "request_duration_seconds_count"
    }
    assert counts[OTHERS] == 50
    assert sum(counts.values()) == ROUTES_SHOWN + 50
