"""What Prometheus is told about certificates."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from volt_agent.bus import Bus
from volt_agent.events import (
    CertificateFailed,
    CertificateIssued,
    CertificateOrdered,
    CertificateRenewed,
)
from volt_agent.ingress.certificate_figures import HOSTS_SHOWN, Outcomes, exposition

THEN = datetime(2026, 12, 1, tzinfo=UTC)
PREFIX = "volt_ingress_certificate_"


def samples(text: str) -> dict[tuple[str, str], float]:
    """By name and the value of the label."""
    return {
        (each.name.removeprefix(PREFIX), "".join(each.labels.values())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_what_is_published_is_counted() -> None:
    """Orders, how attempts ended, and what failed."""
    bus = Bus()
    outcomes = Outcomes(bus)
    of = {"host": "a.example.com", "issuer": "CN=CA", "serial": "1", "not_after": THEN}
    bus.publish(CertificateOrdered(host="a.example.com", attempt=1))
    bus.publish(CertificateIssued(**of))  # type: ignore[arg-type]
    bus.publish(CertificateRenewed(**of))  # type: ignore[arg-type]
    for _ in range(2):
        bus.publish(CertificateFailed(host="b", kind="dns", reason="gone", next_try=THEN))
    found = samples(exposition(outcomes, {"a.example.com": THEN.timestamp()}))
    assert found == {
        ("expiry_timestamp_seconds", "a.example.com"): THEN.timestamp(),
        ("orders_total", ""): 1,
        ("attempts_total", "issued"): 1,
        ("attempts_total", "renewed"): 1,
        ("attempts_total", "failed"): 2,
        ("failures_total", "dns"): 2,
    }


def test_the_number_of_series_is_bounded() -> None:
    """Those that expire first are shown."""
    many = {f"h{number}.example.com": float(number) for number in range(HOSTS_SHOWN + 5)}
    found = samples(exposition(Outcomes(Bus()), many))
    shown = [host for name, host in found if name == "expiry_timestamp_seconds"]
    assert shown == [*many][:HOSTS_SHOWN]
