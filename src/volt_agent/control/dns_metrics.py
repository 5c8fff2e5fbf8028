"""What the name server tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dns.health import Health, name_of
from ..dns.server import Counters, NameServer
from .metrics import Metrics

_PER_UPSTREAM: tuple[tuple[str, str, Callable[[Health], float]], ...] = (
    ("queries", "Questions sent to an upstream server", lambda server: server.asked),
    ("answers", "Answers of an upstream server", lambda server: server.answered),
    ("seconds", "Time that its answers took, in all", lambda server: server.seconds),
)
# How `Counters` are grouped: each query has one outcome; each loss has one reason.
_OUTCOMES = (
    "cached", "local", "relayed", "forwarded", "refused", "malformed", "dropped", "rationed",
)  # fmt: skip
_LOSSES = ("dropped", "rationed", "overloaded", "unsent")
_FORWARDING = (
    "coalesced", "stale", "rebinding", "upstream_timeouts", "upstream_failures", "upstream_strays",
)  # fmt: skip


def register_names(metrics: Metrics, names: NameServer) -> None:
    """Show what is counted, and what is known of each upstream server."""
    _register_queries(metrics, names)
    _register_upstreams(metrics, names)


def _register_queries(metrics: Metrics, names: NameServer) -> None:
    counted, counter, gauge = names.counters, metrics.counter, metrics.gauge
    counter("volt_dns_queries", "DNS queries", _some(counted, _OUTCOMES), "outcome")
    counter(
        "volt_dns_cache_hits",
        "DNS queries answered from a cache",
        lambda: counted.cached + counted.relayed,
    )
    losses = _some(counted, _LOSSES)
    counter(
        "volt_dns_drops",
        "DNS queries without the answer they deserve",
        lambda: {**losses(), "queue_full": names.overflows},
        "reason",
    )
    counter("volt_dns_forwarding", "Events in forwarding", _some(counted, _FORWARDING), "kind")
    gauge("volt_dns_in_flight", "Questions on their way upstream", lambda: counted.in_flight)
    gauge("volt_dns_tcp_connections", "Open TCP connections", lambda: counted.connections)
    counter(
        "volt_dns_tcp_evictions",
        "Idle TCP connections closed for new ones",
        lambda: counted.connections_evicted,
    )


def _some(counted: Counters, which: tuple[str, ...]) -> Callable[[], Mapping[str, float]]:
    return lambda: {each: getattr(counted, each) for each in which}


def _register_upstreams(metrics: Metrics, names: NameServer) -> None:
    def each(read: Callable[[Health], float]) -> Callable[[], Mapping[str, float]]:
        return lambda: {name_of(server.upstream): read(server) for server in names.upstreams}

    for name, text, read in _PER_UPSTREAM:
        metrics.counter(f"volt_dns_upstream_{name}", text, each(read), "upstream")
    metrics.gauge(
        "volt_dns_upstream_up",
        "Whether an upstream server answers",
        each(lambda server: not server.is_silent),
        "upstream",
    )
