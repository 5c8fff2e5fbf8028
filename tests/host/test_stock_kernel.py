"""volt on Debian's own kernel: VLANs as uplinks, and br_netfilter as a module."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support import stock_guest
from tests.support.stock_guest import StockGuest
from tests.support.systemd_host import SystemdHost

WITHIN = 120  # seconds for a command; the processor is emulated
# A switch behind the interface up0: who is in the namespace speaks VLAN 100, and plainly.
SWITCH = """
ip link add up0 type veth peer name port0 address 02:00:00:00:00:64
ip netns add outside
ip link set port0 netns outside
ip link set up0 up
ip -n outside link set port0 up
ip -n outside link add link port0 name port0.100 type vlan id 100
ip -n outside address add 10.30.0.200/24 dev port0.100
ip -n outside link set port0.100 up
"""
AGENT = "volt agent run >/tmp/agent.log 2>&1 & echo $! >/tmp/agent.pid"
STOP = "pid=$(cat /tmp/agent.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep .1; done"
IS_READY = "grep -q '\"ready\"' /tmp/agent.log"
READY = (
    f"for i in $(seq 600); do {IS_READY} && break; sleep .2; done; "
    f"{IS_READY} || {{ cat /tmp/agent.log; false; }}"
)


@pytest.fixture(scope="module")
def guest() -> Iterator[StockGuest]:
    """A guest with network backend, containers api and db on it, and a switch behind up0."""
    if not stock_guest.fits():
        pytest.skip("the image has another Python than this one")
    with SystemdHost() as host, closing(StockGuest(host, "stock")) as guest:
        for line in SWITCH.strip().splitlines():
            guest.run(line)
        guest.run(AGENT)
        guest.run(READY, WITHIN)
        guest.run("volt net create backend --subnet 10.30.0.0/24", WITHIN)
        for name in ("api", "db"):
            guest.run(f"ip netns add {name}; volt net connect backend {name}", WITHIN)
        yield guest


def shown(guest: StockGuest, *command: str) -> Any:
    said = guest.run(f"volt {' '.join(command)} -o json", WITHIN)
    return json.loads(said)


def pings(guest: StockGuest, source: str, target: str) -> bool:
    return guest.try_(f"ip netns exec {source} ping -c 1 -W 5 {target} >/dev/null", WITHIN)[1] == 0


def test_a_tagged_peer_is_reached_through_the_bridge(guest: StockGuest) -> None:
    """As on one network: a container and what speaks VLAN 100 outside, both ways."""
    said = guest.run("volt net vlan create --parent up0 --id 100 --network backend", WITHIN)
    assert said.strip() == ("VLAN up0.100 created: up0, id 100, uplink of network backend; up")
    assert shown(guest, "net", "vlan", "list") == [
        {
            "name": "up0.100",
            "parent": "up0",
            "id": 100,
            "network": "backend",
            "mtu": 1500,
            "status": "up",
            "problem": None,
        }
    ]
    place = next(each for each in shown(guest, "ps") if each["name"] == "api")["networks"][0]
    assert pings(guest, "api", "10.30.0.200")
    assert pings(guest, "outside", place["ip"])
    neighbours = guest.run("ip netns exec outside ip neigh show dev port0.100")
    assert place["mac"] in neighbours
    details = guest.run("ip -d link show up0.100")
    assert re.search(r"vlan protocol 802.1Q id 100 .*", details)
    assert "master volt-backend" in details


def test_what_cannot_be_is_refused(guest: StockGuest) -> None:
    """A taken id, a network in use; and the same again changes nothing."""
    again = guest.run("volt net vlan create --parent up0 --id 100 --network backend", WITHIN)
    assert again.startswith("VLAN up0.100 exists already, unchanged")
    said, status = guest.try_("volt net vlan create --parent up0 --id 100", WITHIN)
    assert (status, said.splitlines()[0]) == (
        1,
        "error: VLAN 100 of up0 exists already and is an uplink of network backend",
    )
    guest.run("ip link add link up0 name dmz type vlan id 7")
    said, status = guest.try_("volt net vlan create --parent up0 --id 7", WITHIN)
    assert (status, said.splitlines()[0]) == (
        1,
        "error: VLAN 7 of up0 exists already as dmz, and is not volt's",
    )
    guest.run("ip link delete dmz")


def test_a_policy_binds_on_one_bridge(guest: StockGuest) -> None:
    """As soon as br_netfilter is loaded; before, volt says that it is missing."""
    deny = "volt net policy create --name no --from api --to db --action deny"
    if "br_netfilter" not in guest.run("cat /proc/modules"):
        concerns = " ".join(shown(guest, "net", "status")["problems"])
        assert "modprobe br_netfilter" in concerns
        guest.run("modprobe br_netfilter")
        guest.run(STOP, WITHIN)
        guest.run(AGENT)
        guest.run(READY, WITHIN)
    address = next(each for each in shown(guest, "ps") if each["name"] == "db")["networks"][0]["ip"]
    assert pings(guest, "api", address)
    guest.run(deny, WITHIN)
    assert not pings(guest, "api", address)
    answer = guest.try_("volt net policy test --from api --to db --proto icmp", WITHIN)
    assert answer[1] == 5


def test_an_uplink_survives_a_restart_and_comes_back_with_its_parent(guest: StockGuest) -> None:
    """And is gone for good once it is deleted."""
    before = guest.run("cat /sys/class/net/up0.100/ifindex")
    guest.run(STOP, WITHIN)
    assert guest.run("cat /sys/class/net/up0.100/ifindex") == before
    guest.run(AGENT)
    guest.run(READY, WITHIN)
    assert guest.run("cat /sys/class/net/up0.100/ifindex") == before
    guest.run("ip link delete up0; ip netns delete outside")
    assert shown(guest, "net", "vlan", "list")[0]["status"] == "missing"
    for line in SWITCH.strip().splitlines():
        guest.run(line)
    guest.run("until grep -q up /sys/class/net/up0.100/operstate; do sleep .1; done", WITHIN)
    assert pings(guest, "api", "10.30.0.200")
    assert guest.run("volt net vlan delete up0.100", WITHIN).strip() == "VLAN up0.100 deleted"
    assert guest.try_("ip link show up0.100")[1] != 0
