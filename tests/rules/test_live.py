"""What real attempts say about the model."""

from __future__ import annotations

import pytest

from tests.networks.build import ip
from tests.rules.build import site, with_rule
from volt_agent.firewall.verdict import Service, Verdict
from volt_agent.kernel.attempt import Outcome
from volt_agent.rules.live import agrees

REJECTS = with_rule(site(), "x", "reject").rules["x"]


@pytest.mark.parametrize(
    ("allowed", "rejected", "protocol", "outcome", "is_up", "answer"),
    [
        (True, False, "tcp", "answered", True, True),
        (True, False, "tcp", "refused", True, True),
        (True, False, "tcp", "silent", True, False),
        (True, False, "tcp", "silent", False, None),
        (True, False, "udp", "silent", True, None),
        (True, False, "icmp", "silent", True, False),
        (True, False, "tcp", "unreachable", True, None),
        (False, False, "tcp", "answered", True, False),
        (False, False, "tcp", "refused", True, False),
        (False, False, "tcp", "silent", True, True),
        (False, False, "udp", "silent", False, True),
        (False, True, "tcp", "refused", True, True),
        (False, True, "icmp", "unreachable", True, True),
        (False, True, "tcp", "silent", True, False),
    ],
)
def test_agreement(
    allowed: bool,
    rejected: bool,
    protocol: Service,
    outcome: Outcome,
    is_up: bool,
    answer: bool | None,
) -> None:
    """Row by row; a refusal means that the target was reached, unless a rule rejects."""
    decided = REJECTS if rejected else None
    verdict = Verdict(allowed, "x", "x", ip("10.30.0.10"), 80, decided=decided)
    assert agrees(verdict, protocol, outcome, is_up) is answer
