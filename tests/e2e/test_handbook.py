"""Behind the handbook's commands, which `handbook.txt` has word for word: bridges, networks,
workloads."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.host import Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

NETWORK_KEYS = {
    "name", "bridge", "subnet", "gateway", "mtu", "nat", "internal", "connected", "status",
}  # fmt: skip
WORKLOAD_KEYS = {"name", "kind", "runtime", "state", "networks"}
PLACE_KEYS = {"network", "ip", "mac", "interface"}


def columns(text: str) -> list[list[str]]:
    """The words of each line of a table."""
    return [line.split() for line in text.splitlines()]


def test_default_bridge(lent: Host) -> None:
    """volt0 is there from the first start, with its subnet and NAT."""
    table = columns(lent.volt("net", "bridge", "list").stdout)
    assert table == [
        ["NAME", "SUBNET", "MTU", "CONNECTED", "STATUS"],
        ["volt0", "10.0.0.0/24", "1500", "0", "up"],
    ]
    assert "volt0" in lent.volt("net", "status").stdout
    assert lent.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"


def test_creating_networks(lent: Host) -> None:
    """Basic and internal networks: bridge, gateway address, list, inspect, JSON and YAML."""
    lent.volt("net", "create", "--name", "backend", "--subnet", "10.30.0.0/24")
    lent.volt("net", "create", "--name", "internal", "--subnet", "10.50.0.0/24", "--no-nat")
    assert "10.30.0.1/24" in lent.run("ip", "address", "show", "volt-backend").stdout
    assert "backend" in lent.volt("net", "inspect", "backend").stdout
    assert "backend" in lent.volt("net", "list").stdout
    listed = {each["name"]: each for each in lent.volt_json("net", "list")}
    assert set(listed) == {"volt0", "backend", "internal"}
    assert set(listed["backend"]) >= NETWORK_KEYS
    assert listed["backend"]["bridge"] == "volt-backend"
    assert listed["backend"]["gateway"] == "10.30.0.1"
    assert (listed["internal"]["nat"], listed["internal"]["internal"]) == (False, True)
    assert yaml.safe_load(lent.volt("net", "list", "-o", "yaml").stdout) == list(listed.values())


def test_a_repetition_changes_nothing_and_another_subnet_is_refused(lent: Host) -> None:
    """An identical create succeeds; a taken name with another subnet does not."""
    for _ in range(2):
        lent.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    refused = lent.volt("net", "create", "backend", "--subnet", "10.31.0.0/24", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert lent.call("net.inspect", name="backend")["subnet"] == "10.30.0.0/24"


def test_without_a_subnet_the_next_free_one_is_taken(lent: Host) -> None:
    """Two networks without --subnet get different /24s that overlap nothing."""
    subnets = {"10.0.0.0/24"}
    for name in ("one", "two"):
        lent.volt("net", "create", name)
        subnets.add(lent.call("net.inspect", name=name)["subnet"])
    assert len(subnets) == 3
    assert all(each.endswith("/24") for each in subnets)


def test_connecting_containers(lent: Host) -> None:
    """A connected container has an address, a default route, a resolver, and finds the others."""
    lent.volt("net", "create", "--name", "backend", "--subnet", "10.30.0.0/24")
    addresses = lent.connect("backend", "api-server", "db-primary")
    inside = lent.run("ip", "-4", "-brief", "address", "show", "eth0", where="api-server")
    assert f"{addresses['api-server']}/24" in inside.stdout
    route = lent.run("ip", "route", "show", "default", where="api-server").stdout
    assert route.startswith("default via 10.30.0.1 dev eth0")
    resolver = lent.run("cat", "/etc/resolv.conf", where="api-server").stdout.splitlines()
    assert "nameserver 10.30.0.1" in resolver
    assert "search volt.local" in resolver
    ping = lent.run("ping", "-c1", "-w30", "-i0.2", "db-primary", where="api-server").stdout
    assert addresses["db-primary"] in ping


def test_what_ps_and_container_show(lent: Host) -> None:
    """A started, a stopped and a pending workload, with the contract's keys."""
    lent.volt("net", "create", "backend")
    lent.connect("backend", "web", "db")
    lent.volt("net", "connect", "backend", "later")
    lent.remove_workload("db")
    listed = lent.volt_json("ps")
    assert {each["name"]: each["state"] for each in listed} == {
        "web": "running", "db": "stopped", "later": "pending",
    }  # fmt: skip
    assert all(set(each) >= WORKLOAD_KEYS for each in listed)
    assert all(set(place) >= PLACE_KEYS for each in listed for place in each["networks"])
    assert lent.volt_json("container", "list") == listed
    shown = lent.volt("container", "inspect", "web").stdout
    assert lent.address_of("web") in shown
    for command in (["ps"], ["container", "list"]):
        assert columns(lent.volt(*command).stdout)[0][:4] == ["NAME", "KIND", "RUNTIME", "STATE"]


def test_a_workload_keeps_its_address(lent: Host) -> None:
    """Stopped and started again, and disconnected and connected again, it is the same."""
    before = lent.connect("volt0", "web", "db")["web"]
    lent.remove_workload("web")
    lent.add_workload("web")
    assert lent.address_of("web") == before
    lent.volt("net", "disconnect", "web")
    lent.connect("volt0", "other")
    lent.volt("net", "connect", "volt0", "web")
    assert lent.address_of("web") == before


def test_a_static_address(lent: Host) -> None:
    """--ip gives that address, and nobody else."""
    lent.volt("net", "connect", "volt0", "web", "--ip", "10.0.0.77")
    lent.add_workload("web")
    assert lent.address_of("web") == "10.0.0.77"
    taken = lent.volt("net", "connect", "volt0", "db", "--ip", "10.0.0.77", check=False)
    assert taken.returncode == 1
    assert "10.0.0.77" in taken.stderr


def test_disconnect(lent: Host) -> None:
    """Disconnected, it has no interface, no name and no place any more."""
    lent.connect("volt0", "api-server", "web")
    lent.volt("net", "disconnect", "api-server")
    lent.traffic.await_name("web", "10.0.0.1", "api-server", None)
    assert "eth0" not in lent.run("ip", "link", where="api-server").stdout
    assert lent.run("cat", "/etc/netns/api-server/resolv.conf", check=False).returncode != 0
    assert [each["networks"] for each in lent.volt_json("ps") if each["name"] == "api-server"] in (
        [],
        [[]],
    )


def test_dns_names(lent: Host) -> None:
    """Every form of a name, and the lists of names."""
    address = lent.connect("volt0", "web", "db")["db"]
    for name in ("db", "db.volt.local", "db.volt0.volt.local", "DB.Volt.Local"):
        answer = lent.traffic.query("web", "10.0.0.1", name)
        assert [each["data"] for each in answer["records"]] == [address], name
    backwards = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    pointer = lent.traffic.query("web", "10.0.0.1", backwards, kind="PTR")
    assert [each["data"] for each in pointer["records"]] == ["db.volt.local"]
    no_data = lent.traffic.query("web", "10.0.0.1", "db", kind="AAAA")
    assert (no_data["rcode"], no_data["records"], no_data["authority"]) == ("NOERROR", [], ["SOA"])
    unknown = lent.traffic.query("web", "10.0.0.1", "nobody.volt.local")
    assert (unknown["rcode"], unknown["authority"]) == ("NXDOMAIN", ["SOA"])
    entries = lent.volt_json("net", "dns", "list")
    wanted = {
        "name": "db.volt.local",
        "type": "A",
        "address": address,
        "network": "volt0",
        "workload": "db",
    }
    assert any(wanted.items() <= each.items() for each in entries)
    assert address in lent.volt("net", "dns", "query", "db").stdout
    assert lent.volt("net", "dns", "flush").returncode == 0


def test_bridge_management(lent: Host) -> None:
    """Create, list and delete a bridge; one that is in use stays."""
    lent.volt("net", "bridge", "create", "mybridge", "--subnet", "10.50.0.0/24")
    row = columns(lent.volt("net", "bridge", "list").stdout)[-1]
    assert row == ["mybridge", "10.50.0.0/24", "1500", "0", "up"]
    lent.connect("mybridge", "web")
    assert lent.volt("net", "bridge", "delete", "mybridge", check=False).returncode == 1
    lent.volt("net", "disconnect", "web")
    lent.volt("net", "bridge", "delete", "mybridge")
    assert "mybridge" not in lent.run("ip", "link").stdout
    assert lent.volt("net", "bridge", "delete", "mybridge", check=False).returncode == 3


def test_a_vm_gets_a_tap(lent: Host) -> None:
    """`connect --kind vm` makes the tap and prints what QEMU needs."""
    shown = lent.volt("net", "connect", "volt0", "db-primary", "--kind", "vm").stdout
    assert "vt-db-primary" in shown
    assert "-netdev tap" in shown
    assert "vt-db-primary" in lent.run("ip", "link").stdout


def test_versions_and_events(lent: Host) -> None:
    """`--version` shows both sides; `events` shows what happened, as JSON lines."""
    assert "0.1.0" in lent.volt("--version").stdout
    lent.connect("volt0", "web")
    shown = lent.volt("events", "-o", "json").stdout
    assert "workload.started" in [json.loads(line)["event"] for line in shown.splitlines()]
    assert json.loads(lent.get("/status")[1])["state"] == "ready"
    assert "volt_" in lent.get("/metrics")[1]
    assert lent.get("/healthz")[0] == 200


def test_a_container_whose_name_is_no_text(lent: Host) -> None:
    """File names are bytes: the workload has a name of its own, and keeps it."""
    lent.add_workload("web\udcff")
    lent.connect("volt0", "web")
    wait_until(lambda: len(lent.volt_json("ps")) == 2, "both are seen")
    names = [each["name"] for each in lent.volt_json("ps")]
    for name in names:
        lent.volt("container", "inspect", name)
    lent.stop_agent()
    lent.start_agent()
    assert [each["name"] for each in lent.volt_json("ps")] == names
