"""What became of certificates, for Prometheus: when they expire, and how orders ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..bus import Bus
from ..events import CertificateFailed, CertificateIssued, CertificateOrdered, CertificateRenewed

# Hosts that have a time series of their own, those that expire first: see `figures.ROUTES_SHOWN`.
HOSTS_SHOWN = 1000


class Outcomes:
    """Counts what is published about certificates from now on."""

    def __init__(self, bus: Bus) -> None:
        self.orders = 0
        self.attempts = Counter({"issued": 0, "renewed": 0, "failed": 0})
        self.failures: Counter[str] = Counter()
        bus.subscribe(CertificateOrdered, self._ordered)
        bus.subscribe(CertificateIssued, self._issued)
        bus.subscribe(CertificateRenewed, self._renewed)
        bus.subscribe(CertificateFailed, self._failed)

    def _ordered(self, event: CertificateOrdered) -> None:
        self.orders += 1

    def _issued(self, event: CertificateIssued) -> None:
        self.attempts["issued"] += 1

    def _renewed(self, event: CertificateRenewed) -> None:
        self.attempts["renewed"] += 1

    def _failed(self, event: CertificateFailed) -> None:
        self.attempts["failed"] += 1
        self.failures[event.kind] += 1


def exposition(outcomes: Outcomes, expiries: Mapping[str, float]) -> str:
    """In Prometheus' text format 0.0.4. `expiries`: until when the certificate of each host is
    good, in seconds since the epoch."""
    first = sorted(expiries.items(), key=lambda each: each[1])[:HOSTS_SHOWN]
    return "".join(
        (
            _family(
                "expiry_timestamp_seconds",
                "gauge",
                "When the certificate of a host expires",
                [(f'{{host="{host}"}}', f"{moment:.0f}") for host, moment in first],
            ),
            _family(
                "orders_total",
                "counter",
                "Orders taken by a CA",
                [("", f"{outcomes.orders}")],
            ),
            _family(
                "attempts_total",
                "counter",
                "Finished attempts to get a certificate",
                [(f'{{outcome="{each}"}}', f"{n}") for each, n in outcomes.attempts.items()],
            ),
            _family(
                "failures_total",
                "counter",
                "Failed attempts by what failed",
                [(f'{{type="{each}"}}', f"{n}") for each, n in sorted(outcomes.failures.items())],
            ),
        )
    )


def _family(name: str, kind: str, text: str, samples: list[tuple[str, str]]) -> str:
    name = f"volt_ingress_certificate_{name}"
    lines = [f"{name}{labels} {value}\n" for labels, value in samples]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "".join(lines)
