"""A host with leases to give."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.process import wait_until

from .guests import Client, Guest, virtual_machine

_numbers = itertools.count(1)
CONFIG = """\
network:
  dhcp: {lease_time: 120}
  dns: {search_domains: [volt.local, example.org]}
"""
NETWORKS = {
    "backend": ("10.30.0.0/24",),
    "internal": ("10.50.0.0/24", "--no-nat", "--mtu", "1400"),
    "small": ("10.40.0.0/29",),
    "open": ("10.60.0.0/24", "--port-security", "off"),
}


@pytest.fixture(scope="module")
def lan() -> Iterator[Host]:
    """A host with networks of each kind; each test brings workloads of its own."""
    with Host(CONFIG) as host:
        host.start_agent()
        for name, (subnet, *options) in NETWORKS.items():
            host.volt("net", "create", name, "--subnet", subnet, *options)
        yield host


@pytest.fixture
def guest(lan: Host) -> Iterator[Guest]:
    """A container that somebody else plugged into `backend`."""
    guest = Guest(lan, f"g{next(_numbers)}", "volt-backend")
    yield guest
    guest.leave()


@pytest.fixture
def machine(lan: Host) -> Iterator[Client]:
    """A virtual machine connected to `backend`, switched on."""
    with plug_in(lan, "backend", f"m{next(_numbers)}") as client:
        yield client


def plug_in(host: Host, network: str, name: str, *options: str) -> Client:
    """Connect a virtual machine and switch it on, once volt has seen that."""
    host.volt("net", "connect", network, name, "--kind", "vm", *options)
    place = next(each for each in host.call("ps") if each["name"] == name)["networks"][0]
    client = virtual_machine(host, place["interface"], place["mac"])
    wait_until(lambda: host.call("container.inspect", name=name)["state"] == "running", name)
    return client


def leases(host: Host, network: str = "backend") -> dict[str, str]:
    """The leases of a network: name (or MAC) -> address."""
    found = host.call("net.lease.list")
    return {each["name"] or each["mac"]: each["ip"] for each in found if each["network"] == network}
