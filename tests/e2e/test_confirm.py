"""A change that could lock the administrator out is rolled back unless somebody confirms it."""

from __future__ import annotations

import signal

import pytest

from tests.support.host import Host, RpcError
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

LOCK_OUT = ("net", "firewall", "add", "--name", "lock-out", "--source", "any", "--dest", "host")


def own_rules(host: Host) -> list[str]:
    return host.volt("net", "firewall", "list", "-q").stdout.split()


def lock_out(host: Host, within: str) -> None:
    host.volt(*LOCK_OUT, "--action", "drop", "--confirm", within)


def await_rollback(host: Host) -> None:
    wait_until(lambda: not own_rules(host), "the rule is rolled back", 10)


def test_confirmed_it_stays(running: Host) -> None:
    """What waits is shown; other changes wait as long; after the confirmation none does."""
    lock_out(running, "5m")
    shown = running.volt("net", "firewall", "list").stderr
    assert "rule lock-out added" in shown
    assert "volt net firewall confirm" in shown
    assert "rule lock-out added" in running.volt("net", "status").stdout
    with pytest.raises(RpcError, match="waits for its confirmation: rule lock-out added"):
        running.call("net.firewall.flush")
    running.volt("net", "firewall", "confirm")
    assert running.volt("net", "firewall", "list").stderr == ""
    assert own_rules(running) == ["lock-out"]
    running.volt("net", "firewall", "flush")


def test_unconfirmed_it_is_rolled_back(running: Host) -> None:
    """Added, deleted and flushed rules alike, in their old order."""
    lock_out(running, "1s")
    await_rollback(running)
    assert [each["change"] for each in running.events("rules.rolled-back")] == [
        "rule lock-out added"
    ]
    for name in ("b", "a"):
        running.call("net.firewall.add", name=name, source="any", dest="any", action="accept")
    for command in (["delete", "b"], ["flush"]):
        running.volt("net", "firewall", *command, "--confirm", "1s")
        assert own_rules(running) != ["b", "a"]
        wait_until(lambda: own_rules(running) == ["b", "a"], "they are back", 10)


def test_a_killed_agent_rolls_back_at_its_next_start(running: Host) -> None:
    """Overdue: at once, before the firewall is loaded. Not overdue: in time."""
    lock_out(running, "1s")
    running.stop_agent(signal.SIGKILL)
    wait_until_passed(running, seconds=1)
    running.start_agent()
    assert own_rules(running) == []
    lock_out(running, "3s")
    running.stop_agent(signal.SIGKILL)
    running.start_agent()
    assert own_rules(running) == ["lock-out"]
    await_rollback(running)
    lock_out(running, "5m")
    running.stop_agent(signal.SIGKILL)
    running.start_agent()
    running.volt("net", "firewall", "confirm")
    assert own_rules(running) == ["lock-out"]


def wait_until_passed(host: Host, seconds: float) -> None:
    """Let the deadline pass: real time is what is tested, and nothing announces it."""
    host.run("sleep", str(seconds + 0.1))
