"""Operations as volt plans them, for tests."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from volt_agent.kernel.ops import AddAddress, AddBridge, AddRoute, AddTap, AddVeth, Op, SetLink

GATEWAY = IPv4Address("10.30.0.1")
ANYWHERE = IPv4Network("0.0.0.0/0")


def bridge(name: str = "volt-backend", **changes: Any) -> AddBridge:
    values: dict[str, Any] = {
        "mac": "02:00:00:00:00:01",
        "mtu": 1500,
        "alias": "volt:backend",
        "altname": None,
    }
    return AddBridge(name=name, **(values | changes))


def bridge_up(name: str = "volt-backend") -> list[Op]:
    """A bridge with the gateway's address, up."""
    return [
        bridge(name),
        AddAddress(name=name, address=IPv4Interface((GATEWAY, 24))),
        SetLink(name=name, up=True),
    ]


def mac(number: int, kind: int = 2) -> str:
    return f"02:00:00:{kind:02x}:{number >> 8:02x}:{number & 255:02x}"


def veth(namespace: str, number: int = 1, **changes: Any) -> AddVeth:
    values: dict[str, Any] = {
        "name": f"vc-{number}",
        "master": "volt-backend",
        "alias": f"volt:backend/{number}",
        "mtu": 1500,
        "mac": mac(number),
        "peer": "eth0",
        "peer_mac": mac(number, 3),
        "peer_namespace": namespace,
    }
    return AddVeth(**(values | changes))


def tap(number: int = 1, **changes: Any) -> AddTap:
    values: dict[str, Any] = {
        "name": f"vt-{number}",
        "master": "volt-backend",
        "alias": f"volt:backend/{number}",
        "mtu": 1500,
        "mac": mac(number, 4),
    }
    return AddTap(**(values | changes))


def address(number: int) -> IPv4Interface:
    return IPv4Interface((IPv4Address(int(GATEWAY) + number), 24))


def attach(namespace: str, number: int = 1) -> list[Op]:
    """A whole container: its veth, its address, its default route, and up it goes."""
    return [
        veth(namespace, number),
        SetLink(namespace=namespace, name="lo", up=True),
        AddAddress(namespace=namespace, name="eth0", address=address(number)),
        SetLink(namespace=namespace, name="eth0", up=True),
        AddRoute(namespace=namespace, name="eth0", destination=ANYWHERE, gateway=GATEWAY),
        SetLink(name=f"vc-{number}", up=True),
    ]
