"""`volt agent reset`: the host is as it was before volt."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.machine import ROOM

FORWARDING = "net.ipv4.ip_forward"


def test_a_second_reset_finds_nothing(running: Host) -> None:
    """Only what was there is said to be removed."""
    assert "nftables" in running.volt("agent", "reset").stdout
    assert running.volt("agent", "reset").stdout == "there was nothing to remove\n"


@pytest.mark.parametrize(("before", "agent"), [("0", "runs"), ("0", "stopped"), ("1", "runs")])
def test_forwarding_is_as_it_was(host: Host, before: str, agent: str) -> None:
    """With and without an agent, also over its restarts."""
    host.run("sysctl", "-qw", f"{FORWARDING}={before}")
    host.start_agent()
    host.stop_agent()
    host.start_agent()
    assert forwarding(host) == "1"
    if agent == "stopped":
        host.stop_agent()
    said = host.volt("agent", "reset").stdout
    assert forwarding(host) == before
    assert ("ip_forward=1: it is 0 again, as before volt" in said) == (before == "0")
    assert host.volt("agent", "reset").stdout == "there was nothing to remove\n"


def test_a_purge_leaves_an_empty_directory(running: Host) -> None:
    """The lock goes as well, and so do automatic certificates."""
    state = running.path(f"{ROOM}/state")
    (state / "certs/hosts").mkdir(parents=True, exist_ok=True)
    running.volt("agent", "reset", "--purge")
    assert list(state.iterdir()) == []


def test_a_state_that_another_agent_uses_is_left_alone(running: Host) -> None:
    """Its socket was not found, but its lock is: it is named, and nothing is removed."""
    command = ("--socket", "/run/nosuch.sock", "agent", "reset", "--purge")
    done = running.volt(*command, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "another agent" in done.stderr
    assert running.volt_json("net", "list")[0]["status"] == "up"


def test_a_damaged_state_is_no_reason_to_keep_the_rest(running: Host) -> None:
    """Everything goes but the setting whose former value was in there, which is said."""
    running.stop_agent()
    running.path(f"{ROOM}/state/state.db").write_bytes(b"no database" * 1000)
    done = running.volt("agent", "reset", check=False)
    assert done.returncode == 1
    assert "removed bridge volt0" in done.stdout
    assert "ip_forward stays as it is" in done.stderr
    assert running.volt("agent", "reset", "--purge").returncode == 0
    running.start_agent()


def forwarding(host: Host) -> str:
    """Asked inside: through /proc/PID/root one would see the caller's own namespace."""
    return host.run("sysctl", "-n", FORWARDING).stdout.strip()
