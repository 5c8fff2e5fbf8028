"""Reads what the elements of a set have counted (linux/netfilter/nf_tables.h, NFT_MSG_GETSETELEM).

Not by libnftables: it works under a lock of the whole process, and 10,000 elements as JSON take it
0.3 s, in which no change of the ruleset could be made.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from .netlink import Request, attributes, repeated, text
from .netlink_socket import NetlinkSocket
from .nft_listing import Counted

NETFILTER = 12  # NETLINK_NETFILTER, for which Python 3.11 has no name

_GET_ELEMENTS = 10 << 8 | 13
_INET = bytes((1, 0, 0, 0))  # struct nfgenmsg: NFPROTO_INET, version, resource
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_LIST_ELEMENT = 1  # NFTA_LIST_ELEM
_KEY, _EXPRESSION = 1, 7  # NFTA_SET_ELEM_*
_VALUE = 1  # NFTA_DATA_VALUE
_EXPRESSION_DATA = 2  # NFTA_EXPR_DATA
_BYTES, _PACKETS = 1, 2  # NFTA_COUNTER_*
_NUMBER = struct.Struct(">Q")

_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "icmp": socket.IPPROTO_ICMP}
_FAMILIES = {"ipv4": 2, "ipv6": 10}  # NFPROTO_IPV4, NFPROTO_IPV6


def read_counts(netlink: NetlinkSocket, table: str, name: str) -> dict[bytes, Counted]:
    """By key (see `key_bytes`), of a set of an inet table; empty if there is no such set."""
    body = _INET + text(_LIST_TABLE, table) + text(_LIST_SET, name)
    try:
        return dict(_counts(netlink, Request(_GET_ELEMENTS, 0, body)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return {}
        raise


def key_bytes(key: str) -> bytes:
    """The kernel's form of a key that is written in nft's language: fields of 4 bytes each."""
    return b"".join(map(_field, key.split(" . ")))


def _counts(netlink: NetlinkSocket, request: Request) -> Iterator[tuple[bytes, Counted]]:
    for answer in netlink.each_of_dump(request):
        listed = attributes(answer.body, len(_INET)).get(_LIST_ELEMENTS, b"")
        for element in repeated(listed, _LIST_ELEMENT):
            found = attributes(element)
            key = attributes(found.get(_KEY, b"")).get(_VALUE, b"")
            expression = attributes(found.get(_EXPRESSION, b""))
            counter = attributes(expression.get(_EXPRESSION_DATA, b""))
            if len(counter.get(_PACKETS, b"")) == len(counter.get(_BYTES, b"")) == _NUMBER.size:
                (packets,) = _NUMBER.unpack(counter[_PACKETS])
                (size,) = _NUMBER.unpack(counter[_BYTES])
                yield _padded(key), Counted(packets, size)


def _field(part: str) -> bytes:
    if part.startswith('"'):
        return part.strip('"').encode().ljust(16, b"\0")  # IFNAMSIZ
    if part in _PROTOCOLS:
        return _padded(bytes((_PROTOCOLS[part],)))
    if part in _FAMILIES:
        return _padded(bytes((_FAMILIES[part],)))
    if "." in part:
        return socket.inet_aton(part)
    return _padded(struct.pack(">H", int(part)))


def _padded(value: bytes) -> bytes:
    return value.ljust(-(-len(value) // 4) * 4, b"\0")
