"""A configuration that changes under a host in use."""

from __future__ import annotations

import json

from tests.support.host import Host
from tests.support.machine import ROOM
from tests.support.process import wait_until

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
    """volt0 first, as it was made; a default subnet that cannot be had is said, with what to do."""
    running.volt("net", "connect", "volt0", "web")
    for name in ("zebra", "ant"):
        running.volt("net", "create", name)
    before = running.volt_json("net", "list")
    assert [each["name"] for each in before] == ["volt0", "ant", "zebra"]
    running.stop_agent()
    running.path(CONFIG).write_text("network: {default_subnet: 10.77.0.0/24}")
    running.start_agent()
    assert running.volt_json("net", "list") == before
    (problem,) = running.volt_json("net", "status")["problems"]
    assert "volt0 keeps its subnet 10.0.0.0/24" in problem
    assert "volt net disconnect" in problem
    assert problem in running.agent_log()


def test_an_unused_default_network_moves(running: Host) -> None:
    """At the next start it is where the configuration has it, and nowhere else."""
    running.stop_agent()
    running.path(CONFIG).write_text("network: {default_subnet: 10.77.0.0/24}")
    running.start_agent()
    addresses = running.run("ip", "-br", "-4", "address", "show", "volt0").stdout.split()
    assert addresses[2:] == ["10.77.0.1/24"]
    running.connect("volt0", "web")
    assert running.address_of("web") == "10.77.0.2"
    assert running.traffic.query("web", "10.77.0.1", "web")["rcode"] == "NOERROR"
    assert running.volt_json("net", "status")["problems"] == []


def test_the_mtu_of_the_default_network_follows(running: Host) -> None:
    """Bridge, port and the workload's own end, after a restart; other networks keep theirs."""
    running.volt("net", "create", "backend")
    running.connect("volt0", "web")
    running.stop_agent()
    running.path(CONFIG).write_text("network: {mtu: 1400}")
    running.start_agent()
    for where, name in (("host", "volt0"), ("host", "vc-web"), ("web", "eth0")):
        wait_until(
            lambda where=where, name=name: mtu_of(running, where, name) == 1400,  # type: ignore[misc]
            f"{name} has it",
        )
    assert mtu_of(running, "host", "volt-backend") == 1500


def mtu_of(host: Host, where: str, name: str) -> int:
    told = host.run("ip", "-j", "link", "show", name, where=where).stdout
    return int(json.loads(told)[0]["mtu"])
