"""Elements of sets, past libnftables (linux/netfilter/nf_tables.h, NFT_MSG_*SETELEM).

What they have counted: libnftables works under a lock of the whole process, and 10,000 elements as
JSON take it 0.3 s, in which no change of the ruleset could be made. And which come and go: it reads
all tables, chains, sets and counters before each command, for which it needs 0.4 ms of CPU; here a
change takes 0.05 ms.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from .netlink import F_CREATE, Request, attribute, attributes, nested, repeated, text
from .netlink_socket import NetlinkSocket
from .nft_keys import key_bytes
from .nft_listing import Counted

NETFILTER = 12  # NETLINK_NETFILTER, for which Python 3.11 has no name

SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_NEW_ELEMENTS, _GET_ELEMENTS, _DELETE_ELEMENTS = (SUBSYSTEM << 8 | n for n in (12, 13, 14))
_FAMILIES = {"inet": 1, "bridge": 7}  # NFPROTO_*
_INET = bytes((1, 0, 0, 0))  # struct nfgenmsg: family, version, resource
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_LIST_ELEMENT = 1  # NFTA_LIST_ELEM
_KEY, _DATA, _EXPRESSION = 1, 2, 7  # NFTA_SET_ELEM_*
_VALUE = 1  # NFTA_DATA_VALUE
_EXPRESSION_DATA = 2  # NFTA_EXPR_DATA
_BYTES, _PACKETS = 1, 2  # NFTA_COUNTER_*
_NUMBER = struct.Struct(">Q")


class Elements(Struct, frozen=True):
    """Elements of one set without ranges, in nft's language; those of a map read `key : data`.

    `key` and `data` are the types (`nft_keys`).
    """

    family: Literal["inet", "bridge"]
    table: str
    set: str
    key: str
    data: str | None
    elements: tuple[str, ...]


def addition(elements: Elements) -> Request:
    """The request that adds them, for a transaction. Raises ValueError (`nft_keys`)."""
    return Request(_NEW_ELEMENTS, F_CREATE, _body(elements))


def deletion(elements: Elements) -> Request:
    """The request that deletes them. Raises ValueError."""
    return Request(_DELETE_ELEMENTS, 0, _body(elements))


def _body(each: Elements) -> bytes:
    listed = (nested(_LIST_ELEMENT, *_parts(element, each)) for element in each.elements)
    return b"".join(
        (
            bytes((_FAMILIES[each.family], 0, 0, 0)),
            text(_LIST_TABLE, each.table),
            text(_LIST_SET, each.set),
            nested(_LIST_ELEMENTS, *listed),
        )
    )


def _parts(element: str, types: Elements) -> Iterator[bytes]:
    if types.data is None:
        yield nested(_KEY, attribute(_VALUE, key_bytes(element, types.key)))
        return
    key, _colon, data = element.partition(" : ")
    yield nested(_KEY, attribute(_VALUE, key_bytes(key, types.key)))
    yield nested(_DATA, attribute(_VALUE, key_bytes(data, types.data)))


def read_counts(netlink: NetlinkSocket, table: str, name: str) -> dict[bytes, Counted]:
    """By key (`nft_keys`), of a set of an inet table; empty if there is no such set."""
    body = _INET + text(_LIST_TABLE, table) + text(_LIST_SET, name)
    try:
        return dict(_counts(netlink, Request(_GET_ELEMENTS, 0, body)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return {}
        raise


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
                yield key, Counted(packets, size)
