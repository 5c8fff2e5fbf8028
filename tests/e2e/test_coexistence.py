"""Another firewall that drops volt's traffic is named, with the command that heals it."""

from __future__ import annotations

import re

import pytest

from tests.support.host import Host
from tests.support.machine import ROOM
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

DROPS = """\
table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
    chain DOCKER-USER { }
}
"""


def complaints(host: Host) -> list[str]:
    found: list[str] = host.call("net.status")["problems"]
    return [each for each in found if "drops volt's traffic" in each]


def test_a_drop_of_others_is_named_and_healed(pair: Host) -> None:
    """As Docker's: seen when it appears, and gone after the very commands that are shown."""
    target = pair.address_of("db")
    assert pair.traffic.reaches("web", target, port=80)
    pair.run("nft", "-f", "-", input="table ip filter { chain DOCKER-USER { }; }\n" + DROPS)
    wait_until(lambda: complaints(pair), "it is found")
    (complaint,) = complaints(pair)
    assert not pair.traffic.reaches("web", target, port=80)
    assert "FORWARD" in pair.volt("net", "status").stdout
    for command in re.findall(r"nft insert rule [^;(]*", complaint):
        pair.run("sh", "-c", command)
    wait_until(lambda: not complaints(pair), "it is healed")
    assert pair.traffic.reaches("web", target, port=80)


def test_a_network_that_comes_later_is_looked_after(host: Host) -> None:
    """A drop that was no matter of volt's, without a network, is one of the first network's."""
    host.path(ROOM / "config.yaml").write_text("network: {default_subnet: 192.0.2.0/24}")
    host.start_agent()
    assert host.call("net.list") == []
    host.run("nft", "-f", "-", input=DROPS)
    wait_until(lambda: host.run("nft", "list", "table", "ip", "filter").stdout, "it is there")
    assert complaints(host) == []
    host.call("net.create", name="backend", subnet="10.30.0.0/24")
    wait_until(lambda: complaints(host), "it is found")
