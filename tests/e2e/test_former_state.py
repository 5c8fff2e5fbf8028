"""An agent that is started with another state than that of its kernel."""

from __future__ import annotations

from tests.support.host import Host
from tests.support.machine import ROOM
from tests.support.process import wait_until


def test_a_foreign_state_directory_disconnects_nobody(pair: Host) -> None:
    """The agent refuses, names who would lose what, and the kernel is as it was."""
    pair.stop_agent()
    before = everything(pair)
    done = pair.run(*pair.agent_command, "--state-dir", f"{ROOM}/misspelt", check=False)
    assert done.returncode == 1
    (error,) = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert f"{ROOM}/misspelt knows nothing of backend/db, backend/web" in error
    assert "volt agent reset" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(pair) == before
    pair.start_agent()
    assert pair.traffic.reaches("web", pair.address_of("db"), "tcp", 80)


def test_after_a_reset_a_lost_state_is_no_obstacle(pair: Host) -> None:
    """What is gone is gone: volt begins anew, and the workloads can be connected again."""
    pair.stop_agent()
    pair.run("rm", "-r", f"{ROOM}/state")
    pair.volt("agent", "reset")
    pair.start_agent()
    pair.volt("net", "create", "backend")
    pair.connect("backend", "web")


def test_a_bridge_that_a_crash_left_is_taken_away(running: Host) -> None:
    """Its network was deleted, and the agent died before the kernel had it."""
    running.stop_agent()
    running.run("ip", "link", "add", "volt-gone", "type", "bridge")
    running.run("ip", "link", "set", "volt-gone", "alias", "volt:gone", "up")
    running.start_agent()

    def is_gone() -> bool:
        return "volt-gone" not in running.run("ip", "-br", "link").stdout

    wait_until(is_gone, "the bridge is gone")


def everything(host: Host) -> tuple[str, str]:
    """Links with their indexes, and the ruleset without its counters."""
    rules = host.run("nft", "-s", "list", "ruleset").stdout
    return host.run("ip", "-o", "link").stdout, rules
