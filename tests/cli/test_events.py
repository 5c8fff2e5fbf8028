"""`volt events`, with and without --follow."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cli.conftest import Volt
from tests.cli.test_failures import VOLT, environment
from tests.control.rig import PATIENCE, Rig
from volt_agent.cli.events import one_line
from volt_agent.events import Degraded, NamesFlushed

FLUSHED = "2026-01-02T12:00:00.123000Z  dns.flushed  entries=%d\n"


def test_recent_events(rig: Rig, volt: Volt) -> None:
    """What the agent remembers, one line each, and the end."""
    assert volt("events").out == ""
    rig.publish(*(NamesFlushed(entries=number) for number in range(3)))
    assert volt("events").out == "".join(FLUSHED % number for number in range(3))
    assert volt("events", "-n", "1").out == FLUSHED % 2


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_events_for_programs(rig: Rig, volt: Volt, form: str) -> None:
    """JSON lines, or YAML documents."""
    rig.publish(NamesFlushed(entries=1), Degraded(what="volt0", reason="no: reason"))
    out = volt("events", "-o", form).out
    if form == "json":
        assert [json.loads(line)["event"] for line in out.splitlines()] == [
            "dns.flushed",
            "degraded",
        ]
    else:
        import yaml

        assert [each["event"] for each in yaml.safe_load_all(out)] == ["dns.flushed", "degraded"]


def test_events_for_people() -> None:
    """Values with blanks are quoted, mappings are short."""
    event = {
        "event": "workload.started",
        "time": "T",
        "workload": "web",
        "planes_ms": {"dns": 0.1, "firewall": 0.9},
        "reason": "two words",
        "networks": {},
    }
    assert one_line(event) == (
        'T  workload.started  workload=web planes_ms=dns:0.1,firewall:0.9 reason="two words" '
        "networks=-"
    )


def test_following(rig: Rig) -> None:
    """The last events, then each at once, until the agent ends: status 4."""
    rig.publish(*(NamesFlushed(entries=number) for number in range(30)))
    process = subprocess.Popen(
        [*VOLT, "events", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(VOLT_SOCKET=rig.path),
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(10)] == [
        FLUSHED % number for number in range(20, 30)
    ]
    rig.publish(NamesFlushed(entries=99))
    assert process.stdout.readline() == FLUSHED % 99
    rig.stop()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert err == "error: the agent has ended the event stream\n"


def test_following_without_an_agent(volt: Volt) -> None:
    """As for every command."""
    assert volt("--socket", "/nonexistent", "events", "-f").status == 4
