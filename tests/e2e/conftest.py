"""Hosts on which the agent runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import Host


@pytest.fixture
def running(host: Host) -> Host:
    """A private host with the agent running, of which nothing was asked yet."""
    host.start_agent()
    return host


@pytest.fixture
def pair(running: Host) -> Host:
    """The same with the network backend, and web and db on it, reachable by udp and tcp 80."""
    running.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    running.connect("backend", "web", "db")
    for name in ("web", "db"):
        running.traffic.serve(name, tcp=[80], udp=[80])
    return running


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    """One host with the agent running, for all tests of a file."""
    with Host() as host:
        host.start_agent()
        yield host
