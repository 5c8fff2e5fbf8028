"""rtnetlink messages about links (linux/if_link.h): the hot ones encoded, all of them decoded.

A link is addressed by its name (IFLA_IFNAME with index 0): that saves a look-up, and cannot hit the
wrong link when an index is used again. What only bridges need is in `bridges`.
"""

from __future__ import annotations

import struct
import sys

from .netlink import (
    F_CREATE,
    F_EXCLUSIVE,
    Malformed,
    Request,
    attribute,
    attributes,
    first,
    nested,
    number,
    repeated,
    text,
    to_number,
    to_signed,
    to_text,
)
from .ops import AddVeth, AddVlan
from .state import Link

# linux/rtnetlink.h
NEW_LINK, DELETE_LINK, GET_LINK, SET_LINK = 16, 17, 18, 19
GROUP_LINK = 1
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
IFF_UP, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x40, 0x10000
_RUNNING = IFF_RUNNING | IFF_LOWER_UP

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_ADDRESS, _NAME, _MTU, _LOWER, _MASTER, _WIRELESS, _PORT = 1, 3, 4, 5, 10, 11, 12  # IFLA_*
_INFO, _ALIAS, _FAMILIES, _GROUP, _NAMESPACE, _MASK = 18, 20, 26, 27, 28, 29
_PEER_NAMESPACE_ID, _PROPERTIES, _ALTNAME = 37, 52, 53
_INFO_KIND, _INFO_DATA, _INFO_PORT_KIND, _INFO_PORT_DATA = 1, 2, 4, 5
_PORT_HAIRPIN = 4  # IFLA_BRPORT_MODE
_VETH_PEER = 1
_VLAN_ID = 1  # IFLA_VLAN_ID
_NF_CALL_IPTABLES, _NF_CALL_IP6TABLES = 36, 37  # IFLA_BR_*
_SKIP_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS: they are a fifth of a link message
_INET_CONF = 1  # IFLA_INET_CONF
_SEND_REDIRECTS, _RP_FILTER, _ROUTE_LOCALNET = 6, 8, 26  # IPV4_DEVCONF_* in linux/ip.h
_GENERATION_MODE, _GENERATE_NONE = 8, b"\x01"  # IFLA_INET6_ADDR_GEN_MODE

# No IPv6 link-local address and no router solicitations: half of the time that a fresh port takes
# to come up, and volt drops workloads' IPv6. Cheaper than disable_ipv6, and needs no /proc/sys.
CALM = nested(AF_INET6, attribute(_GENERATION_MODE, _GENERATE_NONE))
# A gateway drops spoofed sources (RFC 3704, strict) and never tells workloads of shorter ways:
# policies may forbid them. Forwards of 127.0.0.1 send packets with that source into the bridge; the
# chain volt-raw, which is loaded before a bridge is made, stops those that come out of it.
_SETTINGS = (number(_RP_FILTER, 1), number(_SEND_REDIRECTS, 0), number(_ROUTE_LOCALNET, 1))
GATEWAY = nested(AF_INET, nested(_INET_CONF, *_SETTINGS))
_LOCALNET_AT = 4 * (_ROUTE_LOCALNET - 1)  # described, they are an array that begins with number 1
_ANY_LINK = _LINK.pack(AF_UNSPEC, 0, 0, 0, 0)


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def add_veth(op: AddVeth, master: int, peer_namespace: int) -> Request:
    """RTM_NEWLINK: a veth under bridge `master` (ifindex), its peer in a namespace (descriptor).

    The kernel makes both ends and enslaves the first, or nothing at all.
    """
    peer = (
        _ANY_LINK
        + text(_NAME, op.peer)
        + attribute(_ADDRESS, _mac(op.peer_mac))
        + number(_MTU, op.mtu)
        + number(_NAMESPACE, peer_namespace)
    )
    info = nested(
        _INFO,
        attribute(_INFO_KIND, b"veth"),
        nested(_INFO_DATA, nested(_VETH_PEER, peer)),
    )
    body = (
        _ANY_LINK
        + text(_NAME, op.name)
        + attribute(_ADDRESS, _mac(op.mac))
        + number(_MTU, op.mtu)
        + number(_MASTER, master)
        + info
    )
    return Request(NEW_LINK, F_CREATE | F_EXCLUSIVE, body)


def add_vlan(op: AddVlan, parent: int) -> Request:
    """RTM_NEWLINK: a VLAN of the link `parent` (ifindex)."""
    number_of_it = attribute(_VLAN_ID, op.id.to_bytes(2, sys.byteorder))
    info = nested(_INFO, attribute(_INFO_KIND, b"vlan"), nested(_INFO_DATA, number_of_it))
    body = _ANY_LINK + text(_NAME, op.name) + number(_LOWER, parent) + number(_MTU, op.mtu) + info
    return Request(NEW_LINK, F_CREATE | F_EXCLUSIVE, body)


def set_link(
    name: str,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    master: int | None = None,
    alias: str | None = None,
    mac: str | None = None,
    group: int | None = None,
    families: bytes = b"",
) -> Request:
    """RTM_SETLINK: change what is not None. `master` is an ifindex, 0 for none.

    `families` are settings per address family, such as CALM and GATEWAY.
    """
    parts = [_LINK.pack(AF_UNSPEC, 0, 0, IFF_UP if up else 0, 0 if up is None else IFF_UP)]
    parts.append(text(_NAME, name))
    if mtu is not None:
        parts.append(number(_MTU, mtu))
    if master is not None:
        parts.append(number(_MASTER, master))
    if alias is not None:
        parts.append(attribute(_ALIAS, alias.encode()))
    if mac is not None:
        parts.append(attribute(_ADDRESS, _mac(mac)))
    if group is not None:
        parts.append(number(_GROUP, group))
    if families:
        parts.append(nested(_FAMILIES, families))
    return Request(SET_LINK, 0, b"".join(parts))


def route_localnet(name: str, on: bool) -> Request:
    """RTM_SETLINK: whether a bridge routes 127.0.0.0/8, as forwards of 127.0.0.1 need it."""
    setting = nested(_INET_CONF, number(_ROUTE_LOCALNET, int(on)))
    return set_link(name, families=nested(AF_INET, setting))


def set_port(name: str, alias: str | None = None, hairpin: bool = True) -> Request:
    """RTM_NEWLINK of a link that is there: its alias, and whether a frame may leave by the port it
    came in.

    A workload that uses a forward to itself needs that: when the host's neighbour entry is ready to
    use, br_netfilter sends the translated frame straight on over the bridge, which otherwise drops
    it (br_nf_pre_routing_finish_bridge() in net/bridge/br_netfilter_hooks.c).
    """
    port = attribute(_PORT_HAIRPIN, bytes((hairpin,)))
    info = nested(_INFO, attribute(_INFO_PORT_KIND, b"bridge\0"), nested(_INFO_PORT_DATA, port))
    body = _ANY_LINK + text(_NAME, name) + info
    if alias is not None:
        body += attribute(_ALIAS, alias.encode())
    return Request(NEW_LINK, 0, body)


def release_port(index: int) -> Request:
    """RTM_SETLINK: a port leaves its bridge."""
    body = _LINK.pack(AF_UNSPEC, 0, index, 0, 0) + number(_MASTER, 0)
    return Request(SET_LINK, 0, body)


def delete_link(name: str) -> Request:
    """RTM_DELLINK."""
    return Request(DELETE_LINK, 0, _ANY_LINK + text(_NAME, name))


def delete_group(group: int) -> Request:
    """RTM_DELLINK of all links of a group at once."""
    return Request(DELETE_LINK, 0, _ANY_LINK + number(_GROUP, group))


def get_link(name: str) -> Request:
    """RTM_GETLINK of one link."""
    body = _ANY_LINK + text(_NAME, name)
    return Request(GET_LINK, 0, body + number(_MASK, _SKIP_STATISTICS))


def all_links() -> Request:
    """RTM_GETLINK, to be dumped."""
    body = _ANY_LINK + number(_MASK, _SKIP_STATISTICS)
    return Request(GET_LINK, 0, body)


def decode_link(body: bytes) -> Link | None:
    """The link of an RTM_NEWLINK or RTM_DELLINK message; None for one that describes no link.

    The group carries two other kinds: bridges report their ports once more (family AF_BRIDGE; a
    DELLINK of these means "left the bridge"), and wireless drivers send events with nothing but a
    name. Raises Malformed.
    """
    if len(body) < _LINK.size:
        raise Malformed(f"a link message of {len(body)} bytes")
    family, _hardware, index, flags, _change = _LINK.unpack_from(body)
    if family != AF_UNSPEC:
        return None
    found = attributes(body, _LINK.size)
    if _NAME not in found or _WIRELESS in found:
        return None
    info = attributes(found.get(_INFO, b""))
    kind = to_text(info.get(_INFO_KIND, b""))
    nsid = found.get(_PEER_NAMESPACE_ID)
    return Link(
        index=index,
        name=to_text(found[_NAME]),
        kind=kind,
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        running=flags & _RUNNING == _RUNNING,
        mtu=to_number(found.get(_MTU)),
        mac=found.get(_ADDRESS, b"").hex(":"),
        master=to_number(found.get(_MASTER)),
        alias=to_text(found.get(_ALIAS, b"")),
        altnames=_altnames(found.get(_PROPERTIES, b"")),
        nsid=-1 if nsid is None else to_signed(nsid),
        netfilter=kind == "bridge" and _calls_netfilter(info.get(_INFO_DATA, b"")),
        localnet=kind == "bridge" and _routes_localnet(found.get(_FAMILIES, b"")),
        hairpin=first(info.get(_INFO_PORT_DATA, b""), _PORT_HAIRPIN)[:1] == b"\x01",
        lower=to_number(found.get(_LOWER)) if kind == "vlan" else 0,
        vlan=_vlan_id(info.get(_INFO_DATA, b"")) if kind == "vlan" else 0,
    )


def decode_port(body: bytes) -> tuple[int, bool] | None:
    """The ifindex of a port and whether it is a hairpin, from what its bridge reports; None for a
    message that does not say. Raises Malformed.

    Not every change of a port (that by sysfs or bridge(8) is one) is announced as one of its link.
    """
    if len(body) < _LINK.size:
        raise Malformed(f"a link message of {len(body)} bytes")
    family, _hardware, index, _flags, _change = _LINK.unpack_from(body)
    if family != AF_BRIDGE:
        return None
    mode = first(first(body[_LINK.size :], _PORT), _PORT_HAIRPIN)
    return (index, mode[:1] == b"\x01") if mode else None


def link_index(body: bytes) -> int | None:
    """The ifindex that an RTM_NEWLINK or RTM_DELLINK message is about; None if a bridge reports its
    port. Raises Malformed."""
    if len(body) < _LINK.size:
        raise Malformed(f"a link message of {len(body)} bytes")
    family, _hardware, index, _flags, _change = _LINK.unpack_from(body)
    return index if family == AF_UNSPEC else None


def peer_index(body: bytes) -> int:
    """The ifindex of a veth's other end, in the other end's namespace (_LOWER); 0 for none."""
    return to_number(attributes(body, _LINK.size).get(_LOWER))


def _altnames(properties: bytes) -> tuple[str, ...]:
    return tuple(to_text(each) for each in repeated(properties, _ALTNAME))


def _routes_localnet(families: bytes) -> bool:
    settings = first(first(families, AF_INET), _INET_CONF)
    return any(settings[_LOCALNET_AT : _LOCALNET_AT + 4])


def _vlan_id(data: bytes) -> int:
    return int.from_bytes(first(data, _VLAN_ID)[:2], sys.byteorder)


def _calls_netfilter(data: bytes) -> bool:
    """Whether both flags are set. A kernel built without br_netfilter does not report them."""
    found = attributes(data)
    return all(
        found.get(flag, b"\0")[:1] == b"\x01" for flag in (_NF_CALL_IPTABLES, _NF_CALL_IP6TABLES)
    )
