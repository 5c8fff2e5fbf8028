"""A change that could lock the administrator out is rolled back unless somebody confirms it."""

from __future__ import annotations

import signal

import pytest

from tests.support.host import Host, RpcError
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

LOCK_OUT = ("net", "firewall", "add", "--name", "lock-out", "--source", "any", "--dest", "host")


def own_rules(host: Host) -> list[str]:
    return [each["name"] for each in host.call("net.firewall.list") if not each["builtin"]]


def lock_out(host: Host, within: str) -> None:
    host.volt(*LOCK_OUT, "--action", "drop", "--confirm", within)


def rollbacks(host: Host) -> list[str]:
    return [each["change"] for each in host.events("rules.rolled-back")]


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
    wait_until(lambda: rollbacks(running) == ["rule lock-out added"], "it is rolled back")
    assert own_rules(running) == []
    for name in ("b", "a"):
        running.call("net.firewall.add", name=name, source="any", dest="any", action="accept")
    for number, command in enumerate((["delete", "b"], ["flush"]), 2):
        running.volt("net", "firewall", *command, "--confirm", "1s")
        await_rollbacks(running, number)
        assert own_rules(running) == ["b", "a"]


def test_a_killed_agent_rolls_back_at_its_next_start(running: Host) -> None:
    """What is overdue is gone when it is ready; what was confirmed stays."""
    lock_out(running, "3s")
    running.stop_agent(signal.SIGKILL)
    wait_until_passed(running, seconds=3)
    running.start_agent()
    assert (own_rules(running), rollbacks(running)) == ([], ["rule lock-out added"])
    lock_out(running, "5m")
    running.stop_agent(signal.SIGKILL)
    running.start_agent()
    running.volt("net", "firewall", "confirm")
    assert own_rules(running) == ["lock-out"]


def test_a_restart_does_not_stop_the_clock(running: Host) -> None:
    """The next agent keeps the rule for what is left of the time, and no longer."""
    for window in (5, 20, 60):  # a longer one, where the restart takes that long
        lock_out(running, f"{window}s")
        running.stop_agent(signal.SIGKILL)
        running.start_agent()
        rules = own_rules(running)
        waiting = running.call("net.firewall.pending")["unconfirmed"]
        if waiting is not None:
            break
    assert 0 < waiting["seconds_left"] < window
    assert rules == ["lock-out"]
    wait_until(lambda: not own_rules(running), "it is rolled back")
    assert rollbacks(running)[-1] == "rule lock-out added"


def await_rollbacks(host: Host, number: int) -> None:
    wait_until(lambda: len(rollbacks(host)) == number, "it is rolled back")


def wait_until_passed(host: Host, seconds: float) -> None:
    """Let the deadline pass: real time is what is tested, and nothing announces it."""
    host.run("sleep", str(seconds + 0.1))
