"""The words for a certificate."""

from __future__ import annotations

from datetime import datetime

import pytest

from volt_agent.ingress.acme.state import HostCertificate, words

NOW = datetime(2026, 9, 2, 12, 0).timestamp()
SOON = datetime(2026, 9, 2, 12, 5).timestamp()
LATER = datetime(2026, 9, 9, 7, 30).timestamp()
DECEMBER = datetime(2026, 12, 1, 12, 0).timestamp()


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (HostCertificate("a", "issuing"), "issuing"),
        (HostCertificate("a", "valid", DECEMBER), "valid until 2026-12-01"),
        (HostCertificate("a", "issuing", DECEMBER), "valid until 2026-12-01"),
        (HostCertificate("a", "valid", NOW - 86400), "expired on 2026-09-01"),
        (
            HostCertificate("a", "failed", reason="no DNS", next_try=SOON),
            "failed: no DNS, next try 12:05",
        ),
        (
            HostCertificate("a", "failed", reason="rate limited", next_try=LATER),
            "failed: rate limited, next try 2026-09-09 07:30",
        ),
        (
            HostCertificate("a", "failed", DECEMBER, reason="no DNS", next_try=SOON),
            "valid until 2026-12-01; renewal failed: no DNS, next try 12:05",
        ),
    ],
)
def test_words(certificate: HostCertificate, expected: str) -> None:
    """What lists show."""
    assert words(certificate, NOW) == expected
