"""Containers and virtual machines are equal peers on one network: the handbook's promise, for real.

A container that systemd-nspawn has booted, a QEMU guest with Debian's kernel and user-mode Linux
get leases from volt, find each other by name and talk at layer 2; one policy binds them alike.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.support.guests import Guest, QemuGuest, UserModeGuest
from tests.support.process import wait_until
from tests.support.systemd_host import GUEST_SCRIPTS, SystemdHost

API, PORT = "api-server", "8080"


class Site(NamedTuple):
    """Network backend with a container and two virtual machines, all with leases."""

    host: SystemdHost
    virtual: dict[str, Guest]
    address: dict[str, str]
    mac: dict[str, str]


@pytest.fixture(scope="module")
def site(booted: SystemdHost) -> Site:
    booted.volt("net", "create", "--name", "backend", "--subnet", "10.30.0.0/24")
    booted.start_container(API, "--network-bridge=volt-backend", f"--bind-ro={GUEST_SCRIPTS}")
    virtual: dict[str, Guest] = {}
    for name, kind in (("cache", UserModeGuest), ("db-primary", QemuGuest)):
        tap = booted.volt_json("net", "connect", "backend", name, "--kind", "vm")
        virtual[name] = kind(booted, name, tap)
    names = (API, *virtual)
    places = {name: _place(booted, name) for name in names}
    for guest in virtual.values():
        guest.run("until grep -q nameserver /etc/resolv.conf; do usleep 50000; done")
        guest.run("echo answer of $(hostname) >/www/index.html; httpd -p 8080 -h /www")
    leader = booted.leader_of(API)
    server = f"nsenter -t {leader} -a -- python3 {GUEST_SCRIPTS}/server.py {PORT}"
    booted.start("sh", "-c", f"exec {server}")
    return Site(
        booted,
        virtual,
        {name: place["ip"] for name, place in places.items()},
        {name: place["mac"] for name, place in places.items()},
    )


def _place(host: SystemdHost, name: str) -> dict[str, str]:
    """A workload's place on backend, once its address is in use."""

    def look() -> dict[str, str] | None:
        for workload in host.volt_json("ps"):
            for place in workload["networks"]:
                if workload["name"] == name and place["ip"] and place["network"] == "backend":
                    return dict(place)
        return None

    return wait_until(look, f"{name} has an address", 30)


def _from_container(site: Site, name: str) -> str:
    """What the container is told by `name`; empty where nothing comes."""
    client = ("python3", f"{GUEST_SCRIPTS}/client.py", name, PORT)
    return site.host.in_container(API, *client, check=False).stdout


def _from_guest(site: Site, guest: str, name: str) -> str:
    """What a virtual machine is told by `name`; empty where nothing comes."""
    return site.virtual[guest].try_(f"nc -w 2 {name} {PORT} </dev/null 2>/dev/null")[0].strip()


def test_ps_shows_both_kinds_running(site: Site) -> None:
    """With their addresses, each once."""
    shown = {each["name"]: each for each in site.host.volt_json("ps")}
    kinds = {name: (each["kind"], each["runtime"]) for name, each in shown.items()}
    assert kinds == {
        API: ("container", "machined"),
        "cache": ("vm", "tap"),
        "db-primary": ("vm", "tap"),
    }
    for name, address in site.address.items():
        assert shown[name]["state"] == "running"
        assert [place["ip"] for place in shown[name]["networks"]] == [address]


def test_addresses_come_by_lease(site: Site) -> None:
    """What each has configured is what volt has leased to it."""
    leased = {each["name"]: each["ip"] for each in site.host.volt_json("net", "lease", "list")}
    assert leased == site.address
    shown = site.host.in_container(API, "ip", "-4", "address", "show", "host0").stdout
    assert f"inet {site.address[API]}/24" in shown
    assert "dynamic" in shown
    for name, guest in site.virtual.items():
        assert f"inet {site.address[name]}/24" in guest.run("ip address show eth0")
        assert f"lease of {site.address[name]} obtained" in guest.run("cat /dhcp.log")


def test_each_finds_the_others_by_name(site: Site) -> None:
    """By the bare name and by the whole one, through the resolver that the lease names."""
    for name in site.virtual:
        shown = site.host.in_container(API, "getent", "ahostsv4", name).stdout
        assert shown.split()[0] == site.address[name]
        for peer in (API, f"{API}.volt.local", f"{API}.backend.volt.local"):
            assert f"Address: {site.address[API]}" in site.virtual[name].run(f"nslookup {peer}")


def test_container_reaches_virtual_machine_at_layer_2(site: Site) -> None:
    """TCP to its name, over no router; the other's MAC is in the neighbour table."""
    for name in site.virtual:
        assert _from_container(site, name) == f"answer of {name}\n"
        neighbour = site.host.in_container(API, "ip", "neigh", "show", site.address[name]).stdout
        assert f"lladdr {site.mac[name]}" in neighbour


def test_virtual_machine_reaches_container_at_layer_2(site: Site) -> None:
    """The same from the other side; the server sees the guest's own address."""
    for name, guest in site.virtual.items():
        assert _from_guest(site, name, API) == site.address[name]
        assert f"{site.address[API]} " in guest.run("cat /proc/net/arp")
        assert site.mac[API] in guest.run("cat /proc/net/arp")
        assert "ttl=64" in guest.run(f"ping -c 1 -W 2 {API}")


def test_virtual_machines_reach_each_other(site: Site) -> None:
    """A QEMU guest and a user-mode kernel, by name."""
    said = site.virtual["cache"].run("wget -q -O - http://db-primary:8080/")
    assert said.strip() == "answer of db-primary"
    said = site.virtual["db-primary"].run("wget -q -O - http://cache:8080/")
    assert said.strip() == "answer of cache"


def test_one_policy_binds_them_alike(site: Site) -> None:
    """Who may reach an isolated workload does not depend on what either of them is."""
    host = site.host
    allow = ("net", "policy", "create", "--port", PORT, "--action", "allow")
    try:
        host.volt(*allow, "--name", "to-vm", "--from", API, "--to", "db-primary")
        assert _from_container(site, "db-primary") != ""
        assert site.virtual["cache"].try_(_WGET.format("db-primary"))[1] != 0
        host.volt(*allow, "--name", "to-container", "--from", "cache", "--to", API)
        assert _from_guest(site, "cache", API) == site.address["cache"]
        assert _from_guest(site, "db-primary", API) == ""
        answer = host.volt(
            *("net", "policy", "test", "--from", "db-primary", "--to", API, "--port", PORT),
            check=False,
        )
        assert answer.returncode == 5
    finally:
        for name in ("to-vm", "to-container"):
            host.volt("net", "policy", "delete", name, check=False)
    assert _from_guest(site, "db-primary", API) == site.address["db-primary"]


_WGET = "wget -T 2 -q -O /dev/null http://{}:8080/"


def test_a_virtual_machine_keeps_its_tap_its_address_and_its_name(site: Site) -> None:
    """The plug is pulled: the name goes at once, the tap stays; a restart finds all as it was."""
    host = site.host
    tap = host.volt_json("net", "connect", "backend", "cache", "--kind", "vm")
    site.virtual["cache"].stop()
    wait_until(lambda: _state(host, "cache") == "stopped", "volt sees that it has stopped")
    assert "cache" not in {each["name"] for each in host.volt_json("net", "dns", "list")}
    host.stop_agent()
    assert "vt-cache" in host.run("ip", "-brief", "link").stdout
    host.start_agent()
    site.virtual["cache"] = UserModeGuest(host, "cache", tap)
    assert _place(host, "cache")["ip"] == site.address["cache"]
    site.virtual["cache"].run("until grep -q nameserver /etc/resolv.conf; do usleep 50000; done")
    assert _from_guest(site, "cache", API) == site.address["cache"]


def _state(host: SystemdHost, name: str) -> str:
    return next(str(each["state"]) for each in host.volt_json("ps") if each["name"] == name)
