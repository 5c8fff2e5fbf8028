"""The machines of the real systemd-machined: they join, are plugged in and out while they run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.process import wait_until
from tests.support.systemd_host import SystemdHost

OWN_RESOLVER = "../run/systemd/resolve/stub-resolv.conf"


def shown(host: SystemdHost, name: str) -> dict[str, Any]:
    """A workload as `volt ps` has it; empty if it is unknown."""
    return next((dict(each) for each in host.volt_json("ps") if each["name"] == name), {})


def networks(host: SystemdHost, name: str) -> list[str]:
    """Where it is attached, of the networks it is connected to."""
    return [place["network"] for place in shown(host, name).get("networks", ())]


def await_state(host: SystemdHost, name: str, state: str) -> None:
    wait_until(lambda: shown(host, name).get("state") == state, f"{name} is {state}")


@pytest.fixture(scope="module")
def lone(booted: SystemdHost) -> SystemdHost:
    """A machine called lone with a network of its own, and nothing in it."""
    booted.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    booted.start_container("lone", "--private-network")
    await_state(booted, "lone", "running")
    return booted


def test_a_machine_that_belongs_to_no_network_joins_the_default(lone: SystemdHost) -> None:
    """It gets an interface, an address and names without being asked for."""
    wait_until(lambda: networks(lone, "lone") == ["volt0"], "it has joined")
    found = lone.volt_json("container", "inspect", "lone")
    assert (found["kind"], found["runtime"], found["state"]) == ("container", "machined", "running")
    assert str(found["leader"]) == lone.leader_of("lone")
    assert found["inside"] == {"volt0": "eth0"}
    assert lone.in_container("lone", "ping", "-c1", "-w30", "lone.volt.local").returncode == 0
    resolv_conf = lone.in_container("lone", "cat", "/etc/resolv.conf").stdout
    assert "nameserver 10.0.0.1" in resolv_conf


def test_a_running_machine_is_plugged_in_and_out(lone: SystemdHost) -> None:
    """connect takes the place of the automatic network; disconnect gives everything back."""
    lone.volt("net", "connect", "backend", "lone")
    assert networks(lone, "lone") == ["backend"]
    link = lone.in_container("lone", "ip", "-4", "address", "show", "eth0").stdout
    assert "10.30.0." in link
    assert "nameserver 10.30.0.1" in lone.in_container("lone", "cat", "/etc/resolv.conf").stdout
    lone.volt("net", "disconnect", "lone")
    assert lone.in_container("lone", "ls", "/sys/class/net").stdout.split() == ["lo"]
    assert lone.in_container("lone", "readlink", "/etc/resolv.conf").stdout.strip() == OWN_RESOLVER
    assert lone.in_container("lone", "ls", "/etc").stdout.count("resolv.conf") == 1


def test_it_keeps_its_place_while_the_agent_restarts(lone: SystemdHost) -> None:
    """The same interface and address, also after a crash."""
    lone.volt("net", "connect", "backend", "lone", "--ip", "10.30.0.77")
    before = lone.in_container("lone", "ip", "-4", "-brief", "address", "show", "eth0").stdout
    assert "10.30.0.77" in before
    lone.stop_agent()
    lone.start_agent()
    assert networks(lone, "lone") == ["backend"]
    after = lone.in_container("lone", "ip", "-4", "-brief", "address", "show", "eth0").stdout
    assert after == before


def test_machined_may_restart(lone: SystemdHost) -> None:
    """What runs is still known, what comes afterwards is seen."""
    lone.run("systemctl", "restart", "systemd-machined")
    lone.start_container("second", "--private-network")
    await_state(lone, "second", "running")
    assert shown(lone, "lone")["state"] == "running"
    lone.stop_container("second")
    await_state(lone, "second", "stopped")


def test_a_machine_on_a_network_of_its_choice_is_left_there(lone: SystemdHost) -> None:
    """--network-bridge has put it on backend: it gets a lease there, and no other interface."""
    lone.start_container("chosen", "--network-bridge=volt-backend")
    await_state(lone, "chosen", "running")

    def address() -> str | None:
        places = shown(lone, "chosen")["networks"]
        return next((place["ip"] for place in places), None)

    leased = wait_until(address, "it has a lease")
    assert networks(lone, "chosen") == ["backend"]
    inside = lone.in_container("chosen", "ip", "-4", "-brief", "address", "show", "host0").stdout
    assert f"{leased}/24" in inside
    assert "eth0" not in lone.in_container("chosen", "ls", "/sys/class/net").stdout


def test_a_machine_in_the_hosts_network_is_shown_and_left_alone(lone: SystemdHost) -> None:
    """Nothing can be plugged into it: connect says why, and changes nothing."""
    lone.start_container("sharing")
    await_state(lone, "sharing", "running")
    assert networks(lone, "sharing") == []
    refused = lone.volt("net", "connect", "backend", "sharing", check=False)
    assert refused.returncode == 1
    assert "shares the host's network" in refused.stderr
    assert networks(lone, "sharing") == []


def test_names_that_are_no_labels_are_mapped(lone: SystemdHost) -> None:
    """Web.Front is web-front to volt, and to everybody who asks for it."""
    lone.start_container("Web.Front", "--private-network")
    await_state(lone, "web-front", "running")
    wait_until(lambda: networks(lone, "web-front") == ["volt0"], "it has joined")
    assert lone.volt("net", "dns", "query", "web-front").returncode == 0


def test_a_machine_that_ends_leaves_nothing(lone: SystemdHost) -> None:
    """Its port and its names go; its address is kept for its return."""
    lone.volt("net", "connect", "backend", "lone", check=False)
    address = shown(lone, "lone")["networks"][0]["ip"]
    lone.stop_container("lone")
    await_state(lone, "lone", "stopped")
    assert "lone" not in {each["name"] for each in lone.volt_json("net", "dns", "list")}
    wait_until(
        lambda: "vc-lone" not in lone.run("ip", "-brief", "link").stdout, "its port has gone"
    )
    lone.start_container("lone", "--private-network")
    await_state(lone, "lone", "running")
    assert shown(lone, "lone")["networks"][0]["ip"] == address
