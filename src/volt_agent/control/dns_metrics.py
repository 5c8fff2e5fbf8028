"""What the name server tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dns.health import Health, name_of
from ..dns.server import NameServer
from .metrics import Metrics

_SERIES: tuple[tuple[str, str, Callable[[Health], float]], ...] = (
    ("queries", "Questions sent to an upstream server", lambda server: server.asked),
    ("answers", "Answers of an upstream server", lambda server: server.answered),
    ("seconds", "Time that its answers took, in all", lambda server: server.seconds),
)


def register_names(metrics: Metrics, names: NameServer) -> None:
    """Show what is counted, and what is known of each upstream server."""

    def each(read: Callable[[Health], float]) -> Callable[[], Mapping[str, float]]:
        return lambda: {name_of(server.upstream): read(server) for server in names.upstreams}

    metrics.counter("volt_dns", "DNS events", names.counters.as_dict, "kind")
    for name, text, read in _SERIES:
        metrics.counter(f"volt_dns_upstream_{name}", text, each(read), "upstream")
    metrics.gauge(
        "volt_dns_upstream_up",
        "Whether an upstream server answers",
        each(lambda server: not server.is_silent),
        "upstream",
    )
