"""Answers from outside that point inside: DNS rebinding.

A page whose name leads to 127.0.0.1 or to a workload's address makes a browser, or any program that
trusts names, talk to what the outside cannot reach. So no upstream answer may point at loopback, at
link-local addresses (cloud metadata is there) or at volt's own subnets. Other private ranges are
allowed: companies have them in their DNS.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .view import Subnets

_FORBIDDEN = tuple(
    (int(each.network_address), int(each.broadcast_address))
    for each in (
        IPv4Network("0.0.0.0/8"),  # "this host": Linux takes it for loopback
        IPv4Network("127.0.0.0/8"),
        IPv4Network("169.254.0.0/16"),
    )
)
# ::, ::1 and fe80::/10; what has an IPv4 address inside is judged by that one.
_LINK_LOCAL = IPv6Network("fe80::/10")
_WITH_IPV4_INSIDE = (
    IPv6Network("::ffff:0:0/96").network_address.packed[:12],
    IPv6Network("64:ff9b::/96").network_address.packed[:12],  # NAT64 (RFC 6052)
    bytes(12),  # deprecated, but still read; :: and ::1 are among them
)


def culprit(addresses: Iterable[bytes], subnets: Subnets) -> IPv4Address | IPv6Address | None:
    """The first of `addresses` (4 or 16 octets each) that points inside."""
    for each in addresses:
        if len(each) == 4 and _is_inside(int.from_bytes(each, "big"), subnets):
            return IPv4Address(each)
        if len(each) == 16 and _is_inside_v6(each, subnets):
            return IPv6Address(each)
    return None


def _is_inside(address: int, subnets: Subnets) -> bool:
    for first, last in _FORBIDDEN:
        if first <= address <= last:
            return True
    return subnets.holding_all(address, address) is not None


def _is_inside_v6(packed: bytes, subnets: Subnets) -> bool:
    if packed[:12] in _WITH_IPV4_INSIDE:
        return _is_inside(int.from_bytes(packed[12:], "big"), subnets)
    return packed[0] == 0xFE and IPv6Address(packed) in _LINK_LOCAL
