"""What only bridges need, encoded by pyroute2: rare, and with many attributes of many types."""

from __future__ import annotations

from typing import Any

from .link_messages import NEW_LINK
from .netlink import F_APPEND, F_CREATE, F_EXCLUSIVE, HEADER_SIZE, Request
from .ops import AddBridge
from .pyroute import codec

_NEW_PROPERTY = 108  # RTM_NEWLINKPROP


def add_bridge(op: AddBridge) -> Request:
    """RTM_NEWLINK: a bridge without spanning tree, which would keep fresh ports silent for 30 s.

    Multicast snooping is off: without a querier on the bridge it floods anyway, and costs a look-up
    for each frame. ARP does not go through arptables: volt filters it in the bridge family.
    """
    data = {
        "IFLA_BR_STP_STATE": 0,
        "IFLA_BR_FORWARD_DELAY": 0,
        "IFLA_BR_MCAST_SNOOPING": 0,
    }
    attributes = [
        ("IFLA_IFNAME", op.name),
        ("IFLA_ADDRESS", op.mac),
        ("IFLA_MTU", op.mtu),
        _info(data),
    ]
    return Request(NEW_LINK, F_CREATE | F_EXCLUSIVE, _encode(attributes))


def call_netfilter(name: str, on: bool) -> Request:
    """RTM_NEWLINK: whether frames between the ports of a bridge pass the inet hooks."""
    data = {
        "IFLA_BR_NF_CALL_IPTABLES": int(on),
        "IFLA_BR_NF_CALL_IP6TABLES": int(on),
        "IFLA_BR_NF_CALL_ARPTABLES": 0,
    }
    return Request(NEW_LINK, 0, _encode([("IFLA_IFNAME", name), _info(data)]))


def add_altname(name: str, altname: str) -> Request:
    """RTM_NEWLINKPROP: a second name, up to 127 characters long; EEXIST if any link has it."""
    names = {"attrs": [("IFLA_ALT_IFNAME", altname)]}
    attributes = [("IFLA_IFNAME", name), ("IFLA_PROP_LIST", names)]
    return Request(_NEW_PROPERTY, F_CREATE | F_EXCLUSIVE | F_APPEND, _encode(attributes))


def _info(data: dict[str, int]) -> tuple[str, Any]:
    details = {"attrs": list(data.items())}
    kind_and_data = [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", details)]
    return "IFLA_LINKINFO", {"attrs": kind_and_data}


def _encode(attributes: list[tuple[str, Any]]) -> bytes:
    message = codec().link()
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[HEADER_SIZE:])
