"""Ports of somebody else's whose names no firewall rule can hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import make_pair, running_on
from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

GATEWAY = "10.30.0.1"
ODD = ['vb-"odd', "vb-odd*", "vb-öd", "vb-\\odd"]


@pytest.fixture(scope="module")
def lasting_pair(lasting: Host) -> Host:
    make_pair(lasting)
    return lasting


@pytest.fixture
def pair(lasting_pair: Host) -> Iterator[Host]:
    """One host for all names: what a test has plugged in is gone after it."""
    yield lasting_pair
    for name in {"odd", "other"} & set(lasting_pair.run("ip", "netns").stdout.split()):
        lasting_pair.remove_workload(name)  # its ports go with it
    wait_until(lambda: running_on(lasting_pair) == {"web", "db"}, "they have stopped")
    for name in {each["name"] for each in lasting_pair.call("ps")} - {"web", "db"}:
        lasting_pair.call("container.forget", name=name)


@pytest.mark.parametrize("name", ODD)
def test_nothing_passes_from_a_port_that_cannot_be_guarded(pair: Host, name: str) -> None:
    """Neither to a neighbour nor to the host; the log and `net status` say why. Renamed it may."""
    attach(pair, name)
    wait_until(lambda: master_of(pair, name) is None, "it is taken off the bridge")
    attempts = [Attempt("odd", pair.address_of("web"), "udp", 80), Attempt("odd", GATEWAY, "ping")]
    assert [each.answered for each in pair.traffic.probe(attempts, 1)] == [False] * 2
    status = pair.volt("net", "status").stdout
    assert f"{name!r} was taken off volt-backend" in status
    assert "rename it and attach it again" in pair.agent_log()
    pair.run("ip", "link", "set", name, "down")
    pair.run("ip", "link", "set", name, "name", "vb-plain")
    pair.run("ip", "link", "set", "vb-plain", "master", "volt-backend", "up")
    wait_until(lambda: "plain" in str(pair.call("ps")), "it is seen as a workload")
    assert master_of(pair, "vb-plain") == "volt-backend"
    assert "taken off" not in pair.volt("net", "status").stdout


@pytest.mark.parametrize(("first", "second"), [("vb-two.1", "vb-two_1"), ("vc-db", "vb-db")])
def test_nothing_passes_from_a_port_with_the_name_of_another(
    pair: Host, first: str, second: str
) -> None:
    """Two names that are one label, or that of a container: who came first has it, guard and all;
    the other one is taken off the bridge, and `net status` says why."""
    pair.add_workload("other")
    if first != "vc-db":
        attach(pair, first, "other")
        wait_until(lambda: "two-1" in str(pair.call("ps")), "it is seen as a workload")
    attach(pair, second)
    wait_until(lambda: master_of(pair, second) is None, "it is taken off the bridge")
    attempts = [Attempt("odd", pair.address_of("web"), "udp", 80), Attempt("odd", GATEWAY, "ping")]
    assert [each.answered for each in pair.traffic.probe(attempts, 1)] == [False] * 2
    assert (
        f"{second!r} was taken off volt-backend: {first!r} is" in pair.volt("net", "status").stdout
    )
    assert master_of(pair, first) == "volt-backend"
    held = pair.run("nft", "list", "table", "bridge", "volt").stdout
    assert f'"{first}"' in held
    assert f'"{second}"' not in held


def attach(host: Host, name: str, workload: str = "odd") -> None:
    """A namespace with an address of the network, behind a port of this name."""
    if not host.path(f"/run/netns/{workload}").exists():
        host.add_workload(workload)
    host.run("ip", "link", "add", name, "type", "veth", "peer", "eth0", "netns", workload)
    host.run("ip", "address", "add", "10.30.0.77/24", "dev", "eth0", where=workload)
    host.run("ip", "link", "set", "eth0", "up", where=workload)
    host.run("ip", "link", "set", name, "master", "volt-backend", "up")


def master_of(host: Host, name: str) -> str | None:
    for link in json.loads(host.run("ip", "-json", "link").stdout):
        if link["ifname"] == name:
            master: str | None = link.get("master")
            return master
    raise AssertionError(f"{name} is gone")
