"""Which addresses an upstream answer may not give."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from volt_agent.dns.rebinding import culprit
from volt_agent.dns.view import Subnets

from .world import BACKEND

SUBNETS = Subnets((BACKEND,))  # 10.30.0.0/24


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "10.30.0.0",
        "10.30.0.77",
        "10.30.0.255",
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "::ffff:127.0.0.1",
        "::ffff:10.30.0.5",
        "64:ff9b::127.0.0.1",
        "::10.30.0.5",
    ],
)
def test_addresses_that_point_inside(address: str) -> None:
    """Loopback, link-local, and volt's own subnets, however they are written."""
    packed = ip_address(address).packed
    assert culprit([ip_address("192.0.2.1").packed, packed], SUBNETS) == ip_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.1",
        "10.29.255.255",
        "10.31.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "128.0.0.1",
        "2001:db8::1",
        "fd00::1",
        "fec0::1",
        "::ffff:192.0.2.1",
    ],
)
def test_addresses_that_may_be_told(address: str) -> None:
    """Public ones, and private ones that are not ours: companies have them in their DNS."""
    assert culprit([ip_address(address).packed], SUBNETS) is None


def test_odd_lengths_are_no_addresses() -> None:
    """Whoever reads such a record gets nothing out of it."""
    assert culprit([b"", b"\x7f\0\0", b"\0" * 15, b"\x7f\0\0\1\0"], SUBNETS) is None
