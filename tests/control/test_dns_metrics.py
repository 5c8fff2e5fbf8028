"""Every event that the name server counts can be seen."""

from __future__ import annotations

from volt_agent.control.dns_metrics import register_names
from volt_agent.control.metrics import Metrics
from volt_agent.dns.server import DnsSettings, NameServer
from volt_agent.service import ServiceManager


def test_all_counters_are_shown() -> None:
    """Each under one name, or as a part of one; cache hits and drops are sums."""
    names = NameServer(DnsSettings(), ServiceManager({}))
    for number, key in enumerate(names.counters.as_dict(), start=1):
        setattr(names.counters, key, number * 1000)
    metrics = Metrics()
    register_names(metrics, names)
    shown = metrics.render().decode()
    for key, value in names.counters.as_dict().items():
        # What is sent upstream is counted for each server.
        assert f" {value}.0\n" in shown or key == "upstream_queries", key
    hits = names.counters.cached + names.counters.relayed
    assert f"volt_dns_cache_hits_total {hits}.0\n" in shown
    assert 'volt_dns_drops_total{reason="queue_full"} 0.0\n' in shown
