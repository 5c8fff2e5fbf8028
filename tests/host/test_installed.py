"""volt on a systemd host, from its installation to its removal: the README's way, step by step.

The tests follow each other on one host, as an administrator would.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.host import HOST_ADDRESS
from tests.support.installed_host import InstalledHost, package, renumbered
from tests.support.machine import ROOT, InsideError
from tests.support.process import Process, wait_until
from tests.support.traffic import Attempt

UNITS = tuple(f"volt-{each}.service" for each in ("agent", "firewall", "dns", "ingress", "keep"))
EXPOSURE = 3.5  # of 10, as systemd-analyze(1) counts
GATEWAY, WEB_PORT, ECHO_PORT, SITE = "10.0.0.1", 8080, 7, "app.example.com"
# What the kernel says where the unit's hardening is in the way.
IN_THE_WAY = ("Function not implemented", "Operation not permitted", "Permission denied")


@pytest.fixture(scope="module")
def bare() -> Iterator[InstalledHost]:
    """A host that has never heard of volt."""
    with InstalledHost() as host:
        yield host


@pytest.fixture(scope="module")
def before(bare: InstalledHost) -> dict[str, set[str]]:
    return bare.traces()


@pytest.fixture(scope="module")
def host(bare: InstalledHost, before: dict[str, set[str]]) -> InstalledHost:
    """The same with volt installed and enabled."""
    bare.install(package())
    bare.enable()
    return bare


@pytest.fixture(scope="module")
def site(host: InstalledHost) -> InstalledHost:
    """And with two machines that boot with it, of which web serves a site through the ingress."""
    for name in ("web", "db"):
        host.start_machine(name)
    _serve(host)
    host.volt("ingress", "create", "--name", "site", "--hostname", SITE, "--backend", "web:8080")
    return host


def _serve(host: InstalledHost) -> None:
    """The machines run, `traffic` reaches them, and their servers listen."""
    for name in ("web", "db"):
        host.await_machine(name)
        host.reach(name)
    host.traffic.serve("db", tcp=[ECHO_PORT], udp=[ECHO_PORT])
    host.run("systemd-run", "--machine=web", "--quiet", "--working-directory=/srv",
             "python3", "-m", "http.server", str(WEB_PORT))  # fmt: skip
    host.traffic.await_answer(Attempt("db", host.await_machine("web"), "tcp", WEB_PORT), 30)


def _port_is_open(host: InstalledHost, port: int) -> bool:
    return host.traffic.reaches("outside", HOST_ADDRESS, "tcp", port)


def test_units_are_sound_and_confined(host: InstalledHost) -> None:
    """systemd finds nothing wrong with them, and little that they could do beyond their job."""
    found = host.run("systemd-analyze", "verify", *UNITS, "volt-agent.socket")
    assert found.stdout + found.stderr == ""
    for unit in UNITS:
        said = host.run("systemd-analyze", "security", "--no-pager", unit).stdout
        exposure = re.search(rf"exposure level for {re.escape(unit)}: ([0-9.]+)", said)
        assert exposure is not None
        assert float(exposure[1]) <= EXPOSURE, said


def test_machines_appear_and_reach_each_other(site: InstalledHost) -> None:
    """They are in `volt ps`, have names, and the resolver that answers them."""
    shown = {each["name"]: each for each in site.volt_json("ps")}
    assert {(each["runtime"], each["state"]) for each in shown.values()} == {
        ("machined", "running")
    }
    assert f"nameserver {GATEWAY}" in site.in_container("web", "cat", "/etc/resolv.conf").stdout
    found = site.in_container("web", "getent", "ahostsv4", "db").stdout
    assert found.split()[0] == site.await_machine("db")
    assert site.in_container("web", "ping", "-c1", "-W5", "db").returncode == 0


def test_machines_are_policed(site: InstalledHost) -> None:
    """A policy holds between two machines of one network, and goes again."""
    attempt = Attempt("web", site.await_machine("db"), "tcp", ECHO_PORT)
    site.volt("net", "policy", "create", "--name", "not-web", "--from", "web", "--to", "db",
              "--port", str(ECHO_PORT), "--action", "deny")  # fmt: skip
    assert not site.traffic.probe([attempt])[0].answered
    site.volt("net", "policy", "delete", "not-web")
    assert site.traffic.probe([attempt])[0].answered


def test_confined_it_can_do_all_of_its_job(site: InstalledHost) -> None:
    """Taps, networks, settings of the kernel, certificates: nothing is refused to the agent."""
    tap = site.volt_json("net", "connect", "volt0", "guest", "--kind", "vm")["interface"]
    assert tap in site.run("ls", "/sys/class/net").stdout.split()
    site.volt("container", "forget", "guest")
    site.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    site.volt("tune", "sysctl", "set", "net.core.somaxconn", "4321")
    site.run("ip", "netns", "add", "named")
    site.volt("net", "connect", "backend", "named")
    wait_until(lambda: _resolver_of_named(site), "a named namespace gets its resolver", 10)
    site.run("ip", "netns", "delete", "named")
    site.run("systemctl", "reload", "volt-agent")
    said = site.journal()
    assert not [line for line in said.splitlines() if any(each in line for each in IN_THE_WAY)]
    assert '"level":"error"' not in said


def _resolver_of_named(host: InstalledHost) -> bool:
    path = "/etc/netns/named/resolv.conf"
    found = host.run("stat", "--format=%a", path, check=False).stdout.strip()
    return found == "644" and "10.30.0.1" in host.run("cat", path).stdout


def test_parts_are_units(site: InstalledHost) -> None:
    """Disabled, the ingress closes its port and the name server is silent, also over a restart of
    the agent; enabled, they are back."""
    assert _port_is_open(site, 80)
    site.run("systemctl", "disable", "--now", "volt-ingress", "volt-dns")
    assert not _port_is_open(site, 80)
    assert site.volt("agent", "switch", "dns").stdout == "dns: off\n"
    site.run("systemctl", "restart", "volt-agent", within=60)
    assert not site.active("volt-ingress")
    with pytest.raises(InsideError):
        site.traffic.query("db", GATEWAY, "web", within=1.0)
    assert not _port_is_open(site, 80)
    site.run("systemctl", "enable", "--now", "volt-ingress", "volt-dns")
    wait_until(lambda: _port_is_open(site, 80), "the ingress listens again", 20)
    site.traffic.await_name("db", GATEWAY, "web", site.await_machine("web"))
    assert "answers names on 10.0.0.1" in site.run("systemctl", "status", "volt-dns").stdout


@contextmanager
def _everything_flows(host: InstalledHost) -> Iterator[dict[str, Any]]:
    """200 datagrams/s and a session between machines, 50 questions/s, and new clients of the
    ingress, one after the other: what became of them is there afterwards."""
    web, db = host.await_machine("web"), host.await_machine("db")
    start = host.traffic.start_stream
    streams = {
        "datagrams": start("udp", source="web", target=db, port=ECHO_PORT, rate=200),
        "session": start("session", source="web", target=db, port=ECHO_PORT, rate=50),
        "questions": start("dns", source="db", server=GATEWAY, name="web", address=web, rate=50),
    }
    clients = _start_newcomers(host)
    for number in streams.values():
        host.traffic.await_stream(number)
    found: dict[str, Any] = {}
    yield found
    for name, number in streams.items():
        host.traffic.await_stream(number, within=60)
        found[name] = host.traffic.stop_stream(number)
    clients.stdin.close()
    found["clients"] = json.loads(clients.stdout.readline())
    assert clients.wait(60) == 0
    found["said"] = host.journal().splitlines()[-40:]  # for whom a test fails


def _start_newcomers(host: InstalledHost) -> Process:
    clients = host.start(
        *host.python("-m", "tests.support.newcomers", HOST_ADDRESS, "80", SITE),
        where="outside",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert clients.stdout.readline() == "flowing\n"
    return clients


def _nothing_was_lost(found: dict[str, Any]) -> None:
    assert found["datagrams"]["lost"] == 0, found
    assert found["session"]["ended"] is None, found
    assert (found["questions"]["lost"], found["questions"]["wrong"]) == (0, 0), found
    assert set(found["clients"]) == {"200"}, found


def test_a_restart_loses_nothing(site: InstalledHost) -> None:
    """No packet between machines, no question, no new client of the ingress."""
    agent = site.main_pid()
    with _everything_flows(site) as found:
        site.run("systemctl", "restart", "volt-agent", within=60)
    _nothing_was_lost(found)
    assert site.main_pid() != agent
    assert "firewall kept" in site.journal()


def test_an_upgrade_cuts_nothing(site: InstalledHost) -> None:
    """The new package's agent runs, and connections between machines have not noticed."""
    agent, newer = site.main_pid(), renumbered(package(), "99")
    with _everything_flows(site) as found:
        site.install(newer)
        site.await_units()
    _nothing_was_lost(found)
    assert site.main_pid() not in (agent, "0")
    assert "Version: 99" in site.run("dpkg", "--status", "volt").stdout


def test_a_reboot_finds_everything(site: InstalledHost) -> None:
    """Firewall before the network, then agent, networks, machines with their addresses, names,
    ingress and settings of the kernel; what was stopped and disabled stays off."""
    places = {name: site.await_machine(name) for name in ("web", "db")}
    site.run("systemctl", "disable", "volt-ingress")
    for name in places:
        site.let_go(name)
    site.reboot()
    wait_until(lambda: site.active("volt-agent", "volt-dns"), "volt is up", 60)
    assert {name: site.await_machine(name) for name in places} == places
    assert site.run("cat", "/proc/sys/net/core/somaxconn").stdout == "4321\n"
    assert "backend" in {each["name"] for each in site.volt_json("net", "list")}
    _firewall_came_before_the_network(site)
    assert not _port_is_open(site, 80)
    site.run("systemctl", "enable", "--now", "volt-ingress")
    _serve(site)
    site.traffic.await_name("db", GATEWAY, "web", places["web"])
    wait_until(lambda: _port_is_open(site, 80), "the ingress listens", 20)


def _firewall_came_before_the_network(host: InstalledHost) -> None:
    show = ("systemctl", "show", "--value", "--property=ActiveEnterTimestampMonotonic")
    units = ("volt-firewall.service", "network-pre.target", "systemd-networkd.service")
    times = [int(host.run(*show, unit).stdout) for unit in units]
    assert 0 < times[0] <= times[1] <= times[2], times
    said = host.journal()
    assert "firewall loaded" in said  # by volt-firewall
    assert '"message":"firewall loaded"' not in said  # not by the agent: it found its own


def test_removal_leaves_no_trace(site: InstalledHost, before: dict[str, set[str]]) -> None:
    """apt-get purge: files, groups, links, rules and settings are as before volt."""
    for name in ("web", "db"):
        site.remove_machine(name)
    site.run("apt-get", "purge", "--yes", "volt", within=60)
    _is_as(before, site.traces())


def test_without_dpkg_it_is_installed_and_removed_alike(
    bare: InstalledHost, before: dict[str, set[str]]
) -> None:
    """`make install` and `make uninstall PURGE=1`, which are scripts/package."""
    script = str(ROOT / "scripts/package")
    bare.run(script, "install", within=120)
    bare.enable()
    assert bare.volt("net", "list", "-q").stdout == "volt0\n"
    bare.run(script, "install", within=120)
    bare.await_units()
    bare.run(script, "uninstall", "--purge", within=60)
    _is_as(before, bare.traces())


def _is_as(before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    differences = {key: before[key] ^ after[key] for key in before}
    assert not any(differences.values()), differences
