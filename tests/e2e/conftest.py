"""Hosts on which the agent runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.process import wait_until


@pytest.fixture
def running(host: Host) -> Host:
    """A private host with the agent running, of which nothing was asked yet."""
    host.start_agent()
    return host


@pytest.fixture
def pair(running: Host) -> Host:
    """The same with the network backend, and web and db on it, reachable by udp and tcp 80."""
    make_pair(running)
    return running


@pytest.fixture(scope="module")
def lasting() -> Iterator[Host]:
    """One host with the agent running for a whole file: what a test makes there, it removes."""
    with Host() as host:
        host.start_agent()
        yield host


@pytest.fixture
def lent(lasting: Host) -> Iterator[Host]:
    """The same, and the networks and workloads of a test are gone after it."""
    yield lasting
    clear(lasting)


def clear(host: Host) -> None:
    """End all workloads and delete all networks, but for the default one."""
    for each in host.path("/run/netns").glob("*"):
        host.remove_workload(each.name)
    wait_until(lambda: not running_on(host), "all have stopped")
    for each in host.call("ps"):
        host.call("container.forget", name=each["name"])
    for each in host.call("net.list"):
        if each["name"] != "volt0":
            host.call("net.delete", name=each["name"])


def running_on(host: Host) -> set[str]:
    """The workloads that run."""
    return {each["name"] for each in host.call("ps") if each["state"] == "running"}


def make_pair(host: Host) -> None:
    """What the fixture `pair` has, on a host on which the agent runs."""
    host.call("net.create", name="backend", subnet="10.30.0.0/24")
    host.connect("backend", "web", "db")
    for name in ("web", "db"):
        host.traffic.serve(name, tcp=[80], udp=[80])
