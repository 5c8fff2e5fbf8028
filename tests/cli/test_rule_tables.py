"""The tables and sentences of rules, forwards and policies, character by character."""

from __future__ import annotations

import pytest

from volt_agent.cli.net import firewall, policy, port
from volt_agent.cli.output import table
from volt_agent.control.messages.firewall import Rule
from volt_agent.control.messages.policy import Attempt, Policy, PolicyAnswer
from volt_agent.control.messages.port import Forward

RULES = [
    Rule(
        name="allow-http",
        source="any",
        dest="10.0.0.5",
        ports="80,443",
        proto="tcp",
        action="accept",
        chain="volt-forward",
        packets=12,
        bytes=720,
    ),
    Rule(
        name="builtin:masquerade-volt0",
        source="volt0",
        dest="outside",
        ports="any",
        proto="any",
        action="masquerade",
        chain="volt-nat-post",
        packets=None,
        bytes=None,
        builtin=True,
    ),
]
FORWARDS = [
    Forward(host_port="80", target="web-frontend", target_port="80", proto="tcp", status="active"),
    Forward(
        host_port="53",
        target="dns",
        target_port="53",
        proto="udp",
        status="pending",
        host_ip="192.0.2.1",
    ),
]
POLICIES = [
    Policy(
        name="app-to-db",
        source="app-server",
        target="db-primary",
        port="5432",
        proto="tcp",
        action="allow",
        packets=3,
    )
]


def test_rules() -> None:
    """What is built in is marked, and has no count where nothing is counted."""
    assert table(RULES, firewall.COLUMNS) == (
        "NAME                      SOURCE  DEST      PORTS   PROTO  ACTION      CHAIN"
        "          PACKETS\n"
        "allow-http                any     10.0.0.5  80,443  tcp    accept      volt-forward"
        "   12\n"
        "builtin:masquerade-volt0  volt0   outside   any     any    masquerade  volt-nat-post"
        "  -\n"
    )


def test_forwards() -> None:
    """The handbook's columns; a forward of one address shows it."""
    assert table(FORWARDS, port.COLUMNS) == (
        "HOST-PORT     TARGET        TARGET-PORT  PROTO  STATUS\n"
        "80            web-frontend  80           tcp    active\n"
        "192.0.2.1:53  dns           53           udp    pending\n"
    )


def test_policies() -> None:
    """Names, ports, and what was counted."""
    assert table(POLICIES, policy.COLUMNS) == (
        "NAME       FROM        TO          PORT  PROTO  ACTION  PACKETS\n"
        "app-to-db  app-server  db-primary  5432  tcp    allow   3\n"
    )


@pytest.mark.parametrize(
    ("allowed", "how", "lines"),
    [
        (True, {}, ["✓ app → db:5432 — ALLOWED (policy: app-to-db)"]),
        (False, {}, ["✗ app → db:5432 — DENIED", "  because"]),
        (True, {"proto": "udp"}, ["✓ app → db:5432 (udp) — ALLOWED (policy: app-to-db)"]),
        (False, {"proto": "icmp", "port": None}, ["✗ app → db (icmp) — DENIED", "  because"]),
        (
            True,
            {"live": Attempt(outcome="no answer", agrees=False)},
            [
                "✓ app → db:5432 — ALLOWED (policy: app-to-db)",
                "  live: no answer (NOT as the model says)",
            ],
        ),
    ],
)
def test_answers(allowed: bool, how: dict[str, object], lines: list[str]) -> None:
    """The handbook's lines, word for word; the reason of a denial stands below."""
    fields: dict[str, object] = {"source": "app", "target": "db", "port": 5432, "proto": "tcp"}
    fields |= {"by": "policy: app-to-db", "reason": "because"} | how
    answer = PolicyAnswer(verdict="ALLOWED" if allowed else "DENIED", **fields)  # type: ignore[arg-type]
    assert policy.answer_lines(answer) == lines
