"""rtnetlink messages about IPv4 addresses, routes and per-interface settings, both ways.

linux/if_addr.h, linux/rtnetlink.h, linux/netconf.h.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import NamedTuple

from .netlink import (
    F_CREATE,
    F_EXCLUSIVE,
    F_REPLACE,
    Malformed,
    Request,
    attribute,
    attributes,
    number,
    to_number,
    to_signed,
)

# linux/rtnetlink.h
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR = 28
_GET_NEIGHBOUR, _NDA_MASTER, _AF_BRIDGE = 30, 9, 7
NEW_SETTINGS = 80  # RTM_NEWNETCONF
GROUP_ADDRESS, GROUP_ROUTE, GROUP_SETTINGS = 5, 7, 24  # RTNLGRP_IPV4_*
AF_INET = 2

_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_RTA_DESTINATION, _RTA_OUT, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_TABLE = 1, 4, 5, 9, 15
_TABLE_MAIN, _STATIC, _UNIVERSE, _UNICAST = 254, 4, 0, 1
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop
_NEIGHBOUR = struct.Struct("=BBHiHBB")  # struct ndmsg (linux/neighbour.h)
_NDA_DESTINATION, _NDA_LINK_ADDRESS, _NUD_STALE = 1, 2, 4
_SETTINGS_SIZE = 4  # struct netconfmsg is one byte, padded
_SETTINGS_INDEX = 1
ALL_LINKS, DEFAULT_LINK = -1, -2  # NETCONFA_IFINDEX_ALL, _DEFAULT


def add_address(index: int, address: IPv4Interface) -> Request:
    """RTM_NEWADDR; EEXIST means exactly this address and prefix."""
    return Request(NEW_ADDRESS, F_CREATE | F_EXCLUSIVE, _address(index, address))


def delete_address(index: int, address: IPv4Interface) -> Request:
    """RTM_DELADDR; EADDRNOTAVAIL where it is gone."""
    return Request(DELETE_ADDRESS, 0, _address(index, address))


def _address(index: int, address: IPv4Interface) -> bytes:
    packed = address.packed
    header = _ADDRESS.pack(AF_INET, address.network.prefixlen, 0, 0, index)
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def set_neighbour(index: int, address: IPv4Address, mac: str) -> Request:
    """RTM_NEWNEIGH: replaces whatever the kernel knows or asks about `address`."""
    body = _NEIGHBOUR.pack(AF_INET, 0, 0, index, _NUD_STALE, 0, 0)
    body += attribute(_NDA_DESTINATION, address.packed)
    body += attribute(_NDA_LINK_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    return Request(NEW_NEIGHBOUR, F_CREATE | F_REPLACE, body)


def find_learned(bridge: int, mac: str) -> Request:
    """RTM_GETNEIGH: where a bridge (by ifindex) has learned `mac`; ENOENT for nowhere."""
    body = _NEIGHBOUR.pack(_AF_BRIDGE, 0, 0, 0, 0, 0, 0)
    body += attribute(_NDA_LINK_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    return Request(_GET_NEIGHBOUR, 0, body + number(_NDA_MASTER, bridge))


def learned_port(body: bytes) -> int:
    """The ifindex in the answer to `find_learned`. Raises Malformed."""
    if len(body) < _NEIGHBOUR.size:
        raise Malformed(f"a neighbour message of {len(body)} bytes")
    index: int = _NEIGHBOUR.unpack_from(body)[3]
    return index


def all_addresses() -> Request:
    """RTM_GETADDR of IPv4, to be dumped."""
    return Request(GET_ADDRESS, 0, _ADDRESS.pack(AF_INET, 0, 0, 0, 0))


def decode_address(body: bytes) -> tuple[int, IPv4Interface] | None:
    """Ifindex and address of an RTM_NEWADDR or RTM_DELADDR message. Raises Malformed."""
    if len(body) < _ADDRESS.size:
        raise Malformed(f"an address message of {len(body)} bytes")
    family, prefix, _flags, _scope, index = _ADDRESS.unpack_from(body)
    local = attributes(body, _ADDRESS.size).get(_IFA_LOCAL)
    if family != AF_INET or local is None:
        return None
    if len(local) != 4 or prefix > 32:
        raise Malformed(f"an IPv4 address of {len(local)} bytes with prefix {prefix}")
    return index, IPv4Interface((local, prefix))


# ---- routes -------------------------------------------------------------------------------------


class Hop(NamedTuple):
    """A route of the main table; `out` is the ifindex it leaves by (0 for unreachable ones)."""

    destination: IPv4Network
    gateway: IPv4Address | None
    out: int


def add_route(hop: Hop) -> Request:
    """RTM_NEWROUTE; EEXIST means any route to this destination."""
    return Request(NEW_ROUTE, F_CREATE | F_EXCLUSIVE, _route(hop))


def delete_route(hop: Hop) -> Request:
    """RTM_DELROUTE of exactly this one; ESRCH where it is gone."""
    return Request(DELETE_ROUTE, 0, _route(hop))


def _route(hop: Hop) -> bytes:
    prefix = hop.destination.prefixlen
    header = _ROUTE.pack(AF_INET, prefix, 0, 0, _TABLE_MAIN, _STATIC, _UNIVERSE, _UNICAST, 0)
    destination = attribute(_RTA_DESTINATION, hop.destination.network_address.packed)
    gateway = attribute(_RTA_GATEWAY, hop.gateway.packed) if hop.gateway else b""
    return header + (destination if prefix else b"") + gateway + number(_RTA_OUT, hop.out)


def all_routes() -> Request:
    """RTM_GETROUTE of IPv4, main table (needs STRICT_CHECK), to be dumped."""
    header = _ROUTE.pack(AF_INET, 0, 0, 0, _TABLE_MAIN, 0, 0, 0, 0)
    return Request(GET_ROUTE, 0, header + number(_RTA_TABLE, _TABLE_MAIN))


def decode_route(body: bytes) -> Hop | None:
    """The route of an RTM_NEWROUTE message; None for another table. Raises Malformed.

    Of a route over several gateways the first stands for all.
    """
    if len(body) < _ROUTE.size:
        raise Malformed(f"a route message of {len(body)} bytes")
    family, prefix, _source, _tos, table, _protocol, _scope, _kind, _flags = _ROUTE.unpack_from(
        body
    )
    if family != AF_INET or table != _TABLE_MAIN:
        return None
    found = attributes(body, _ROUTE.size)
    if _RTA_MULTIPATH in found:
        found |= _first_hop(found[_RTA_MULTIPATH])
    destination = found.get(_RTA_DESTINATION, bytes(4))
    gateway = found.get(_RTA_GATEWAY)
    if len(destination) != 4 or prefix > 32 or (gateway is not None and len(gateway) != 4):
        raise Malformed("a route that is not IPv4")
    return Hop(
        IPv4Network((destination, prefix), strict=False),
        None if gateway is None else IPv4Address(gateway),
        to_number(found.get(_RTA_OUT)),
    )


def _first_hop(hops: bytes) -> dict[int, bytes]:
    if len(hops) < _NEXT_HOP.size:
        raise Malformed(f"next hops of {len(hops)} bytes")
    size, _flags, _weight, index = _NEXT_HOP.unpack_from(hops)
    found = attributes(hops[:size], _NEXT_HOP.size)
    found[_RTA_OUT] = struct.pack("=i", index)
    return found


# ---- settings -----------------------------------------------------------------------------------


def decode_settings(body: bytes) -> int | None:
    """Whose per-interface settings an RTM_NEWNETCONF message announces: an ifindex, or one of
    ALL_LINKS and DEFAULT_LINK. None for other families. Raises Malformed."""
    if not body:
        raise Malformed("an empty settings message")
    index = attributes(body, _SETTINGS_SIZE).get(_SETTINGS_INDEX)
    if body[0] != AF_INET or index is None:
        return None
    return to_signed(index)
