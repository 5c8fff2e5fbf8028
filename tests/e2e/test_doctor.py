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
    """A host as the README has it, with a workload and a name server outside."""
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
        host.connect("volt0", "web")
        yield host


def diagnosis(host: Host) -> list[tuple[str, str]]:
    """What is not well: the checks and their states."""
    lines = json.loads(host.volt("doctor", "-o", "json", check=False).stdout)
    return [(each["check"], each["state"]) for each in lines if each["state"] != "ok"]


def test_a_healthy_host(healthy: Host) -> None:
    """With -q there is nothing to say."""
    assert healthy.volt("doctor", "-q").stdout == ""
    lines = healthy.volt("doctor").stdout.splitlines()
    assert len(lines) == 14
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
    host.run("ip", "netns", "add", "gone")
    host.volt("net", "connect", "volt0", "gone")
    host.volt("net", "port", "add", "--host-port", "8099", "--target", "gone", "--target-port", "1")
    host.run("ip", "netns", "del", "gone")

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


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (close_a_port, ("closed ports", "warn")),
        (break_resolv_conf, ("names", "warn")),
        (drop_by_others, ("problems", "fail")),
        (forward_to_nobody, ("forwards", "warn")),
        (silence_upstream, ("upstream", "fail")),
        (route_to_nobody, ("ingress", "warn")),
    ],
)
def test_a_planted_fault_is_named(
    healthy: Host, plant: Callable[[Host], Callable[[], None]], expected: tuple[str, str]
) -> None:
    """Within seconds; the exit status is 1 for a failure; and it is gone once healed."""
    heal = plant(healthy)
    try:
        wait_until(lambda: expected in diagnosis(healthy), "the fault is named")
        status = healthy.volt("doctor", check=False).returncode
        assert status == (1 if expected[1] == "fail" else 0)
    finally:
        heal()
    wait_until(lambda: expected not in diagnosis(healthy), "it is healed")


def test_without_an_agent(host: Host) -> None:
    """One line, its hint, and status 1."""
    done = host.volt("doctor", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("fail  agent         no agent is running")
    assert len(done.stdout.splitlines()) == 2
