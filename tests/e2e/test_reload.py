"""A configuration that changes under a host in use."""

from __future__ import annotations

from tests.support.host import Host
from tests.support.machine import ROOM

CONFIG = ROOM / "config.yaml"


def test_auto_connect_reaches_what_runs_already(running: Host) -> None:
    """After a reload it joins, as it would after a restart; who left by command stays away."""
    running.connect("volt0", "left")
    running.volt("net", "disconnect", "left")
    running.add_workload("web")
    running.path(CONFIG).write_text("network: {auto_connect: [netns]}")
    running.volt("agent", "reload")
    assert running.address_of("web", "volt0")
    assert [each["name"] for each in running.volt_json("ps") if each["networks"]] == ["web"]


def test_a_wrong_configuration_is_told_line_by_line(running: Host) -> None:
    """Each mistake on a line of its own, and the agent goes on with what it had."""
    running.path(CONFIG).write_text("network: {mtu: many, nosuch: 1}\nstatus: {listen: 3}\n")
    done = running.volt("agent", "reload", check=False)
    *mistakes, hint = done.stderr.splitlines()
    assert done.returncode == 2
    assert [each.split(":")[2].strip() for each in mistakes] == [
        "network.mtu",
        "network.nosuch",
        "status.listen",
    ]
    assert all(each.startswith("error: config.yaml: ") for each in mistakes)
    assert hint.startswith("hint: nothing was changed")
    assert running.volt_json("status")["state"] == "ready"


def test_networks_keep_their_order_and_subnets_over_a_restart(running: Host) -> None:
    """volt0 first, as it was made; a default subnet that comes too late is said."""
    for name in ("zebra", "ant"):
        running.volt("net", "create", name)
    before = running.volt_json("net", "list")
    assert [each["name"] for each in before] == ["volt0", "ant", "zebra"]
    running.stop_agent()
    running.path(CONFIG).write_text("network: {default_subnet: 10.77.0.0/24}")
    running.start_agent()
    assert running.volt_json("net", "list") == before
    assert "volt0 keeps its subnet 10.0.0.0/24" in running.agent_log()


def test_a_second_reset_finds_nothing(running: Host) -> None:
    """Only what was there is said to be removed."""
    assert "nftables" in running.volt("agent", "reset").stdout
    assert running.volt("agent", "reset").stdout == "there was nothing to remove\n"
