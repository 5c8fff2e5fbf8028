"""More connections than there are descriptors: the agent goes on, and the ingress recovers."""

from __future__ import annotations

import json
import resource
import select
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import Process, wait_until
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

FEW = 400  # descriptors
SOURCES = [f"127.0.1.{number}" for number in range(1, 21)]


@pytest.fixture
def site(host: Host) -> Iterator[Host]:
    """A route to a server on the host itself; the agent is still to be started."""
    server = Web(host, "serve", "host:9000")
    yield host
    server.stop()


def make_route(host: Host) -> None:
    host.call("ingress.create", name="app", backends=["127.0.0.1:9000"])
    wait_until(lambda: is_served(host), "the route serves", 10)


def is_served(host: Host) -> bool:
    return get(host, "app.example.com").startswith("HTTP/1.1 200 ")


def crowd(host: Host, count: int) -> Process:
    """From loopback, where a firewall does not count."""
    return host.start(
        *host.python("-m", "tests.support.crowd", HOST_ADDRESS, "80", str(count), *SOURCES),
        stdin=-1,
        stdout=-1,
    )


def came(process: Process) -> Counter[str]:
    return Counter(json.loads(process.stdout.readline()))


def leave(process: Process) -> None:
    process.stdin.close()
    process.wait()
    process.stdout.close()


def recovers(host: Host) -> None:
    assert host.agent is not None
    assert host.agent.poll() is None
    wait_until(lambda: is_served(host), "the route serves again", 30)
    wait_until(
        lambda: host.call("ingress.status")["connections"] <= 1, "nobody is left of the crowd", 30
    )


def test_descriptors_run_out_for_strangers_only(site: Host) -> None:
    """With few descriptors the oldest connections go; commands and new clients are served."""
    with site.log_path.open("a") as log:
        site.agent = site.start(
            "prlimit", f"--nofile={FEW}", *site.agent_command, stdout=log, stderr=log
        )
    site.await_ready()
    make_route(site)
    connections = []
    crowds = [crowd(site, FEW) for _ in range(2)]
    while any(each.poll() is None and not has_come(each) for each in crowds):
        connections.append(site.call("ingress.status")["connections"])
    reports = [came(each) for each in crowds]
    site.volt("status")
    descriptors = len(list(Path(f"/proc/{site.agent.pid}/fd").iterdir()))
    assert is_served(site)
    for each in crowds:
        leave(each)
    assert max(connections) <= FEW // 4
    assert descriptors < FEW - 100
    assert all(sum(each.values()) == FEW for each in reports)
    recovers(site)


def has_come(process: Process) -> bool:
    """Whether its line is there."""
    return bool(select.select([process.stdout], [], [], 0.05)[0])


@pytest.mark.long
def test_twenty_thousand_connections(site: Host) -> None:
    """They come at once, ask and stay; then all is as it was, the memory too."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 6000:
        pytest.skip("needs 6,000 open files for each process")
    agent = site.start_agent()
    make_route(site)
    reports = Counter[str]()
    memory = []
    for _ in range(2):
        crowds = [crowd(site, 5000) for _ in range(4)]
        for each in crowds:
            reports += came(each)
        site.volt("status")
        most = site.call("ingress.status")["connections"]
        for each in crowds:
            leave(each)
        recovers(site)
        memory.append(agent.resident_bytes() >> 20)
    print(f"\n{dict(reports)} of 40,000, {most} at once in the end; afterwards {memory} MB")
    assert reports["answered"] > 25_000
    assert memory[1] < memory[0] + 20
