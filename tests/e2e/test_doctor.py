"""`volt doctor` on a private host: silent where all is well, and it names what was broken."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.host import OUTSIDE_ADDRESS, Host
from tests.support.machine import ROOM
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

DROPS = "table ip other { chain forward { type filter hook forward priority 0; policy drop; }; }"
RESOLVER = "search volt.local\nnameserver 10.0.0.1\n"


@pytest.fixture(scope="module")
def healthy() -> Iterator[Host]:
    """A host as docs/names.md has it, with a workload and a name server outside."""
    with Host(f"network: {{dns: {{upstream: [{OUTSIDE_ADDRESS}]}}}}") as host:
        log = host.path(ROOM / "upstream.log")
        with log.open("w") as out:
            host.start(
                *host.python("-m", "tests.support.upstream_server", OUTSIDE_ADDRESS),
                where="outside", stdin=-1, stdout=out,
            )  # fmt: skip
        wait_until(lambda: log.read_text().startswith("ready"), "the server is there")
        host.path("/etc/resolv.conf").write_text(RESOLVER)
        host.start_agent()
        for name in ("web", "api", "db"):
            host.connect("volt0", name)
        yield host


def diagnosis(host: Host, *about: str) -> list[tuple[str, str]]:
    """What is not well: the checks and their states. The exit status is 1 for a failure."""
    done = host.volt("doctor", *about, "-o", "json", check=False)
    lines = json.loads(done.stdout)
    assert done.returncode == any(each["state"] == "fail" for each in lines)
    return [(each["check"], each["state"]) for each in lines if each["state"] != "ok"]


def test_a_healthy_host(healthy: Host) -> None:
    """With -q there is nothing to say."""
    assert healthy.volt("doctor", "-q").stdout == ""
    lines = healthy.volt("doctor").stdout.splitlines()
    assert len(lines) == 15
    assert all(re.match(r"ok    [a-z]", line) for line in lines)


def close_a_port(host: Host) -> Callable[[], None]:
    server = host.start(*host.python("-m", "http.server", "8088"), stdout=-3, stderr=-3)
    wait_until(lambda: ":8088" in host.run("ss", "-lnt").stdout, "it listens")

    def end() -> None:
        server.end()

    return end


def break_resolv_conf(host: Host) -> Callable[[], None]:
    host.path("/etc/resolv.conf").write_text(f"nameserver {OUTSIDE_ADDRESS}\n")

    def heal() -> None:
        host.path("/etc/resolv.conf").write_text(RESOLVER)

    return heal


def drop_by_others(host: Host) -> Callable[[], None]:
    host.run("nft", "-f", "-", input=DROPS)

    def heal() -> None:
        host.run("nft", "delete", "table", "ip", "other")

    return heal


def forward_to_nobody(host: Host) -> Callable[[], None]:
    host.add_workload("gone")
    host.volt("net", "connect", "volt0", "gone")
    host.volt("net", "port", "add", "--host-port", "8099", "--target", "gone", "--target-port", "1")
    host.remove_workload("gone")

    def heal() -> None:
        host.volt("net", "port", "delete", "--host-port", "8099")
        host.volt("container", "forget", "gone")

    return heal


def silence_upstream(host: Host) -> Callable[[], None]:
    table = "table inet deaf { chain out { type filter hook output priority 0; udp dport 53 "
    host.run("nft", "-f", "-", input=f"{table} ip daddr {OUTSIDE_ADDRESS} drop; }}; }}")
    host.volt("net", "dns", "flush")

    def heal() -> None:
        host.run("nft", "delete", "table", "inet", "deaf")

    return heal


def route_to_nobody(host: Host) -> Callable[[], None]:
    host.volt("ingress", "create", "--name", "shop", "--backend", "web:9")

    def heal() -> None:
        host.volt("ingress", "delete", "shop")

    return heal


def hold_a_port_of_the_ingress(host: Host) -> Callable[[], None]:
    server = host.start(*host.python("-m", "http.server", "80"), stdout=-3, stderr=-3)
    wait_until(lambda: ":80 " in host.run("ss", "-lnt").stdout, "it listens", 10)
    host.volt("ingress", "create", "--name", "busy", "--backend", "web:8080")

    def heal() -> None:
        host.volt("ingress", "delete", "busy")
        server.end()

    return heal


def leave_a_change_unconfirmed(host: Host) -> Callable[[], None]:
    rule = ("--name", "try", "--source", "any", "--dest", "web", "--port", "9", "--proto", "tcp")
    host.volt("net", "firewall", "add", *rule, "--action", "drop", "--confirm", "300s")

    def heal() -> None:
        host.volt("net", "firewall", "confirm")
        host.volt("net", "firewall", "delete", "try")

    return heal


def plug_in_a_name_that_is_taken(host: Host) -> Callable[[], None]:
    host.run("ip", "tuntap", "add", "web", "mode", "tap")
    host.run("ip", "link", "set", "web", "master", "volt0")

    def heal() -> None:
        host.run("ip", "link", "delete", "web")

    return heal


def stop_a_workload(host: Host) -> Callable[[], None]:
    host.remove_workload("api")

    def heal() -> None:
        host.add_workload("api")

    return heal


def misspell_a_workload(host: Host) -> Callable[[], None]:
    host.volt("net", "connect", "volt0", "wbe")

    def heal() -> None:
        host.volt("container", "forget", "wbe")

    return heal


def disconnect_a_workload(host: Host) -> Callable[[], None]:
    host.volt("net", "disconnect", "api")

    def heal() -> None:
        host.volt("net", "connect", "volt0", "api")

    return heal


def forward_to_a_silent_port(host: Host) -> Callable[[], None]:
    host.volt("net", "port", "add", "--host-port", "8098", "--target", "api", "--target-port", "7")

    def heal() -> None:
        host.volt("net", "port", "delete", "--host-port", "8098")

    return heal


def isolate_a_workload(host: Host) -> Callable[[], None]:
    ends = ("--from", "db", "--to", "api")
    host.volt("net", "policy", "create", "--name", "only", *ends, "--action", "allow")

    def heal() -> None:
        host.volt("net", "policy", "delete", "only")

    return heal


def deny_by_policy(host: Host) -> Callable[[], None]:
    ends = ("--from", "web", "--to", "api")
    host.volt("net", "policy", "create", "--name", "never", *ends, "--action", "deny")

    def heal() -> None:
        host.volt("net", "policy", "delete", "never")

    return heal


def drop_by_rule(host: Host) -> Callable[[], None]:
    ends = ("--source", "web", "--dest", "api", "--proto", "any", "--action", "drop")
    host.volt("net", "firewall", "add", "--name", "shut", *ends)

    def heal() -> None:
        host.volt("net", "firewall", "delete", "shut")

    return heal


def drop_between_two_by_others(host: Host) -> Callable[[], None]:
    table = "table bridge deaf { chain f { type filter hook forward priority 0; ip protocol icmp "
    host.run("nft", "-f", "-", input=f"{table} drop; }}; }}")

    def heal() -> None:
        host.run("nft", "delete", "table", "bridge", "deaf")

    return heal


def route_to_a_stopped_workload(host: Host) -> Callable[[], None]:
    host.volt("ingress", "create", "--name", "early", "--backend", "db:80")
    host.remove_workload("db")

    def heal() -> None:
        host.volt("ingress", "delete", "early")
        host.add_workload("db")

    return heal


PAIR = ("web", "api")


@pytest.mark.parametrize(
    ("plant", "about", "expected"),
    [
        (close_a_port, (), ("closed ports", "warn")),
        (break_resolv_conf, (), ("names", "warn")),
        (drop_by_others, (), ("problems", "fail")),
        (forward_to_nobody, (), ("forwards", "warn")),
        (silence_upstream, (), ("upstream", "fail")),
        (route_to_nobody, (), ("ingress", "warn")),
        (hold_a_port_of_the_ingress, (), ("problems", "fail")),
        (leave_a_change_unconfirmed, (), ("firewall", "warn")),
        (plug_in_a_name_that_is_taken, (), ("problems", "fail")),
        (stop_a_workload, ("api",), ("workload", "warn")),
        (misspell_a_workload, ("wbe",), ("workload", "warn")),
        (disconnect_a_workload, ("api",), ("networks", "fail")),
        (forward_to_a_silent_port, ("api",), ("forwards", "warn")),
        (route_to_a_stopped_workload, ("db",), ("ingress", "warn")),
        (disconnect_a_workload, PAIR, ("networks", "warn")),
        (isolate_a_workload, PAIR, ("connection", "warn")),
        (deny_by_policy, PAIR, ("connection", "warn")),
        (drop_by_rule, PAIR, ("connection", "warn")),
        (drop_between_two_by_others, PAIR, ("connection", "fail")),
        (forward_to_a_silent_port, (*PAIR, "--port", "7"), ("connection", "warn")),
    ],
)
def test_a_planted_fault_is_named(
    healthy: Host,
    plant: Callable[[Host], Callable[[], None]],
    about: tuple[str, ...],
    expected: tuple[str, str],
) -> None:
    """Within seconds; and it is gone once healed."""
    heal = plant(healthy)
    try:
        wait_until(lambda: expected in diagnosis(healthy, *about), "the fault is named")
    finally:
        heal()
    if plant is not misspell_a_workload and "--port" not in about:
        wait_until(lambda: expected not in diagnosis(healthy, *about), "it is healed")


def test_a_healthy_pair(healthy: Host) -> None:
    """Each finds and reaches the other; who is asked for must exist."""
    assert diagnosis(healthy, "web", "api") == []
    assert "ping from web to api: the target answered" in healthy.volt("doctor", *PAIR).stdout
    done = healthy.volt("doctor", "web", "nobody", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: there is no workload nobody\n")


def test_without_an_agent(host: Host) -> None:
    """One line, its hint, and status 1."""
    done = host.volt("doctor", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("fail  agent         no agent is running")
    assert len(done.stdout.splitlines()) == 2
