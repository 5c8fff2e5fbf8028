"""Workloads that come with something of their own: a default route, a port on volt's bridge."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel


def test_a_workload_keeps_a_default_route_of_its_own(running: Host) -> None:
    """It is attached all the same, with the interface name that is its due."""
    running.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    running.add_workload("web")
    for line in (
        "link add out type veth peer name there",
        "link set there up",
        "address add 198.51.100.2/24 dev out",
        "link set out up",
        "route add default via 198.51.100.1",
    ):
        running.run("ip", *line.split(), where="web")
    running.volt("net", "connect", "backend", "web")
    found = running.volt_json("container", "inspect", "web")
    assert found["inside"] == {"backend": "eth0"}
    assert found["problems"] == []
    inside = {each["name"]: each["addresses"] for each in found["interfaces"]}
    assert inside == {
        "there": [],
        "out": ["198.51.100.2/24"],
        "eth0": [f"{found['networks'][0]['ip']}/24"],
    }
    assert "via 198.51.100.1" in running.run("ip", "route", "show", "default", where="web").stdout
    assert running.is_ready()


def test_a_port_of_a_runtime_is_known_by_its_altname(running: Host) -> None:
    """nspawn's `vb-` ports without machined; a connection puts no second one beside it."""
    running.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    for line in (
        "link add vb-api-serHASH type veth peer name inside",
        "link property add dev vb-api-serHASH altname vb-api-server",
        "link set inside up",
        "link set vb-api-serHASH master volt-backend up",
    ):
        running.run("ip", *line.split())

    def is_seen() -> bool:
        found = [each for each in running.volt_json("ps") if each["name"] == "api-server"]
        return bool(found) and found[0]["state"] == "running" and bool(found[0]["networks"])

    wait_until(is_seen, "its port is seen")
    found = running.volt_json("container", "inspect", "api-server")
    assert (found["kind"], found["runtime"]) == ("container", "port")
    running.volt("net", "connect", "backend", "api-server")
    links = running.run("ip", "-brief", "link", "show", "master", "volt-backend").stdout
    assert len(links.splitlines()) == 1
    refused = running.volt("net", "connect", "volt0", "api-server", check=False)
    assert refused.returncode == 1
    assert "only a bridge port of api-server is known" in refused.stderr


def test_a_tap_outlives_the_agent(running: Host) -> None:
    """Made when a virtual machine is connected, down or up; `connect` says how to start it."""
    made = running.volt_json("net", "connect", "volt0", "db", "--kind", "vm")
    assert made["interface"] == "vt-db"
    assert "tap,id=net0,ifname=vt-db,script=no,downscript=no" in made["qemu"]
    assert f"virtio-net-pci,netdev=net0,mac={made['mac']}" in made["qemu"]
    assert "<target dev='vt-db' managed='no'/>" in made["libvirt"]
    running.stop_agent()
    before = running.run("cat", "/sys/class/net/vt-db/ifindex").stdout
    running.start_agent()
    assert running.run("cat", "/sys/class/net/vt-db/ifindex").stdout == before
    assert running.volt_json("net", "connect", "volt0", "db", "--kind", "vm")["mac"] == made["mac"]
