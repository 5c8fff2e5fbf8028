"""Counters by the name of the rule or policy."""

from __future__ import annotations

import msgspec
import pytest

from tests.firewall.lab import DB, SNAPSHOT, Lab
from tests.firewall.objects import policy, rule
from volt_agent.kernel.nft_listing import Counted
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel


def test_rules_and_policies_count_by_name(lab: Lab) -> None:
    """Each counts the first packets that it decided about, through changes of others."""
    state = SNAPSHOT.apply(
        Change(
            put=(
                DB,
                rule("fwd", 1, "reject", "any", "app", "udp 9"),
                rule("ip", 2, "drop", "outside", "host", "udp 1-65535"),
                rule("policy", 3, "accept", "any", "any", "udp 7,8"),
                policy("ip", "deny", "web", "db"),
                policy("map", "allow", "default", "backend", "udp"),
            )
        )
    )
    lab.load(state)

    def send(source: str, target: str, port: int, count: int) -> None:
        attempt = {
            "source": lab.path(source),
            "target": target,
            "protocol": "udp",
            "port": port,
        }
        attempts = [{**attempt, "source_port": 20000 + each} for each in range(count)]
        outcomes = lab.run(lab.traffic.probe(attempts, 0.2))
        msgspec.convert(outcomes, list[dict[str, object]])

    send("web", "10.0.0.6", 9, 3)
    lab.change(rule("later", 9, "accept", "any", "web", "tcp 1"))
    send("outside", "192.0.2.1", 3000, 1)
    send("web", "10.0.0.10", 5, 1)
    send("web", "10.30.0.5", 5, 2)
    found = lab.run(lab.firewall.hits(lab.snapshot))
    assert found.rules["fwd"].packets >= 3
    assert found.rules["fwd"].bytes >= 3 * 28
    assert found.rules["ip"].packets >= 1
    assert found.rules["policy"] == found.rules["later"] == Counted(0, 0)
    assert found.policies["ip"].packets >= 1
    assert found.policies["map"].packets >= 2
