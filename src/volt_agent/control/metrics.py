"""`GET /metrics`: what the agent tells Prometheus, in a registry of its own.

Values that live elsewhere are read at the moment of a scrape (`gauge`, `counter`); only durations
are recorded when they happen. Names are `volt_WHAT_UNIT`; `process_*` are the standard ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from .. import __version__

# What a callback gives: one number, or one for each value of the label.
Reading = float | Mapping[str, float]

_CALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """All metrics of one agent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._scraped = _Scraped()
        self.registry.register(self._scraped)
        ProcessCollector(registry=self.registry)
        Info("volt_build", "The running agent", registry=self.registry).info(
            {"version": __version__}
        )
        self._calls = Counter(
            "volt_rpc_calls", "Finished calls", ("method", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "volt_rpc_duration_seconds",
            "Time from the parsed request to its answer",
            ("method",),
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self._lag = Histogram(
            "volt_loop_lag_seconds",
            "How late the event loop runs what is due",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )

    def gauge(
        self, name: str, text: str, read: Callable[[], Reading], label: str | None = None
    ) -> None:
        """Show what `read` returns at each scrape; with `label`, a mapping from its values."""
        self._scraped.add(GaugeMetricFamily, name, text, read, label)

    def counter(
        self, name: str, text: str, read: Callable[[], Reading], label: str | None = None
    ) -> None:
        """As `gauge`, for a number that only grows. `_total` is appended to the name."""
        self._scraped.add(CounterMetricFamily, name, text, read, label)

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """One finished call. `method` is of METHODS, so that strangers cannot add time series."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        self._lag.observe(seconds)

    def render(self) -> bytes:
        """Everything, in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)


Family = type[GaugeMetricFamily] | type[CounterMetricFamily]


class _Scraped(Collector):
    """Metrics that are read at the moment of a scrape."""

    def __init__(self) -> None:
        self._sources: list[tuple[Family, str, str, Callable[[], Reading], str | None]] = []

    def add(
        self,
        family: Family,
        name: str,
        text: str,
        read: Callable[[], Reading],
        label: str | None,
    ) -> None:
        self._sources.append((family, name, text, read, label))

    def collect(self) -> Iterable[Metric]:
        for family, name, text, read, label in self._sources:
            metric = family(name, text, labels=(label,) if label else ())
            value = read()
            readings = value.items() if isinstance(value, Mapping) else [(None, value)]
            for which, number in readings:
                metric.add_metric([] if which is None else [which], number)
            yield metric
