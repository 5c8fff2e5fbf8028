"""Which ports may not be on a bridge of volt's."""

from __future__ import annotations

from msgspec.structs import replace

from tests.networks.build import backend, bridge_link, mirror_of, port_link
from volt_agent.kernel.state import Link
from volt_agent.model.network import Network
from volt_agent.networks.strangers import unguardable

SNAPSHOT = backend("web")
BACKEND, WEB = SNAPSHOT.networks["backend"], SNAPSHOT.connections["backend/web"]


def test_ports_that_no_rule_can_name_are_told() -> None:
    """Those of workloads, and only where ports are held to their addresses."""
    odd = Link(index=30, name='vb-"web', kind="veth", up=True, master=10)
    uplink = Link(index=31, name='eth"0', kind="vlan", up=True, master=10)
    mirror = mirror_of(bridge_link(BACKEND), port_link(WEB), odd, uplink)
    assert [link for link, _ in unguardable(BACKEND, mirror, nobody)] == [odd]
    assert [*unguardable(replace(BACKEND, port_security=False), mirror, nobody)] == []


def nobody(_network: Network, _link: Link) -> str | None:
    return None


def test_a_port_with_the_name_of_another_is_told() -> None:
    """The firewall knows one port for each name: nothing would hold the second one."""
    second = Link(index=30, name="vb-web.1", kind="veth", up=True, master=10)
    mirror = mirror_of(bridge_link(BACKEND), port_link(WEB), second)
    assert [*unguardable(BACKEND, mirror, lambda network, link: "vb-web_1")] == [
        (second, "'vb-web_1' is web-1 already")
    ]
