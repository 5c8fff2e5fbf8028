"""Hosts on which the agent runs."""

from __future__ import annotations

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
    make_pair(running)
    return running


def make_pair(host: Host) -> None:
    """What the fixture `pair` has, on a host on which the agent runs."""
    host.call("net.create", name="backend", subnet="10.30.0.0/24")
    host.connect("backend", "web", "db")
    for name in ("web", "db"):
        host.traffic.serve(name, tcp=[80], udp=[80])
