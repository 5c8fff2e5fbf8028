"""Deletes tracked connections (ctnetlink, linux/netfilter/nfnetlink_conntrack.h).

The questions are encoded by pyroute2. The answers are not decoded by it: a table of 10,000 entries
takes 1.5 s that way, and 45 ms here, because what cannot match is told from its bytes, and an entry
that goes is named to the kernel by the very bytes with which the kernel described it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from msgspec import Struct

from . import sysctl
from .edge import Flow
from .host_sockets import HostSockets
from .netlink import HEADER_SIZE, NESTED, Malformed, Request, attribute, attributes
from .netlink_socket import NetlinkSocket
from .pyroute import codec

_NETLINK_NETFILTER = 12  # linux/netlink.h
_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_GENERIC = bytes((socket.AF_INET, 0, 0, 0))  # struct nfgenmsg: family, version, resource
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18  # CTA_*
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL = 1, 2  # CTA_TUPLE_*
_SOURCE, _DESTINATION = 1, 2  # CTA_IP_V4_*
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # CTA_PROTO_*
_PORT = struct.Struct(">H")
# The headers and values of: addresses (source, destination), protocol (number, both ports).
_USUAL = struct.Struct(">8s4s4s4s8sB3x4sH2x4sH2x")
_USUAL_HEADERS = (
    b"\x14\0\x01\x80\x08\0\x01\0",
    b"\x08\0\x02\0",
    b"\x1c\0\x02\x80\x05\0\x01\0",
    b"\x06\0\x02\0",
    b"\x06\0\x03\0",
)
_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)

_TRANSLATED = 1 << 5  # IPS_DST_NAT in linux/netfilter/nf_conntrack_common.h
# A walk through 262,144 buckets takes the kernel 13 ms; bringing 2,600 entries here takes as long.
_ENTRIES_PER_WALK = 2600
_BATCH = 64


class Tracked(Struct, frozen=True, gc=False):
    """What matters of a tracked connection: its original direction, and who answers it.

    `reply_source` and `reply_port` differ from `destination` and `destination_port` where those
    were translated.
    """

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    destination_port: int | None
    reply_source: IPv4Address
    reply_port: int | None = None
    source_port: int | None = None


def matches(flow: Flow, tracked: Tracked) -> bool:
    """Whether `flow` means this connection."""
    ends = (tracked.source, tracked.destination, tracked.reply_source)
    return (
        flow.source in (None, tracked.source)
        and flow.destination in (None, tracked.destination)
        and flow.protocol in (None, tracked.protocol)
        and flow.destination_port in (None, tracked.destination_port)
        and (flow.either is None or flow.either in ends)
    )


def forget(flows: Sequence[Flow], spare: Callable[[Tracked], bool] | None = None) -> int:
    """Delete what any of `flows` means, in the calling thread's namespace. Raises OSError.

    What `spare` says True of stays. Where the host itself answers a TCP connection its end is
    closed: nothing holds back what the host sends, and its next segment would revive the entry.

    Returns how many connections were there and are gone.
    """
    with NetlinkSocket(_NETLINK_NETFILTER) as netlink:
        found = (
            (removal, tracked)
            for question in questions(flows, _count())
            for tracked, removal in _find(netlink, question, flows)
            if spare is None or not spare(tracked)
        )
        entries = dict(found)  # several questions may bring the same entry
        _close_ends(entries.values())
        doomed = list(entries)
        batches = (doomed[at : at + _BATCH] for at in range(0, len(doomed), _BATCH))
        return sum(netlink.request_all(batch) for batch in batches)


def _close_ends(doomed: Iterable[Tracked]) -> None:
    """Close those of the host's sockets that answer one of these connections."""
    with HostSockets() as sockets:
        for each in doomed:
            if each.protocol == socket.IPPROTO_TCP and each.reply_port and each.source_port:
                own = (each.reply_source, each.reply_port)
                sockets.close_end(own, (each.source, each.source_port))


def decode(body: bytes) -> tuple[Tracked, Request]:
    """A tracked connection, and the request that deletes it. Raises Malformed.

    The request carries the entry's id, so that a new connection between the same ends is spared.
    """
    found = attributes(body, len(_GENERIC))
    original = found.get(_ORIGINAL, b"")
    asked = _direction(original)
    answered = _direction(found.get(_REPLY, b""))
    tracked = Tracked(
        source=asked.source,
        destination=asked.destination,
        protocol=asked.protocol,
        destination_port=asked.destination_port,
        reply_source=answered.source,
        reply_port=answered.source_port,
        source_port=asked.source_port,
    )
    name = attribute(_ORIGINAL | NESTED, original)
    name += b"".join(attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
    return tracked, Request(_DELETE, 0, _GENERIC + name)


class _Direction(NamedTuple):
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    source_port: int | None
    destination_port: int | None


def _direction(value: bytes) -> _Direction:
    """A CTA_TUPLE_*. One of TCP or UDP always has the same form, which is told at a glance."""
    if len(value) == _USUAL.size:
        a, source, b, destination, c, protocol, d, source_port, e, port = _USUAL.unpack(value)
        if (a, b, c, d, e) == _USUAL_HEADERS:
            return _Direction(_address(source), _address(destination), protocol, source_port, port)
    found = attributes(value)
    addresses = attributes(found.get(_TUPLE_ADDRESSES, b""))
    source, destination = addresses.get(_SOURCE, b""), addresses.get(_DESTINATION, b"")
    if len(source) != 4 or len(destination) != 4:
        raise Malformed("a connection that is not IPv4")
    carried = attributes(found.get(_TUPLE_PROTOCOL, b""))
    protocol = carried.get(_PROTOCOL_NUMBER, b"\0")
    if not protocol:
        raise Malformed("a connection without a protocol")
    ports = _port(carried.get(_SOURCE_PORT)), _port(carried.get(_DESTINATION_PORT))
    return _Direction(_address(source), _address(destination), protocol[0], *ports)


def _port(value: bytes | None) -> int | None:
    if value is None:
        return None
    if len(value) < 2:
        raise Malformed(f"a port of {len(value)} bytes")
    port: int = _PORT.unpack_from(value)[0]
    return port


# Thousands of connections have few ends.
_address = lru_cache(maxsize=1024)(IPv4Address)


def _find(
    netlink: NetlinkSocket, question: bytes, flows: Sequence[Flow]
) -> Iterator[tuple[Tracked, Request]]:
    needles = _needles(flows)
    for answer in netlink.each_of_dump(Request(_GET, 0, question)):
        if needles and not any(needle in answer.body for needle in needles):
            continue
        tracked, removal = decode(answer.body)
        if any(matches(flow, tracked) for flow in flows):
            yield tracked, removal


def _needles(flows: Sequence[Flow]) -> list[bytes]:
    """Bytes of which at least one is in every entry that matches; [] if there are none such."""
    needles = []
    for flow in flows:
        address = flow.either or flow.source or flow.destination
        if address is not None:
            needles.append(address.packed)
        elif flow.destination_port is not None:
            needles.append(_PORT.pack(flow.destination_port))
        else:
            return []
    return needles


def questions(flows: Sequence[Flow], tracked: int) -> list[bytes]:
    """The dump requests that bring all that `flows` mean, and maybe more, out of `tracked` entries.

    The kernel can filter for us (since 5.8), but walks all its buckets for each request. So there
    is one request per selector in a large table, and one for everything in a small one.
    """
    selectors = [selector for flow in flows for selector in _selectors(flow)]
    if (len(selectors) - 1) * _ENTRIES_PER_WALK > tracked:
        return [_GENERIC]
    return [_filtered(selector) for selector in selectors]


def _selectors(flow: Flow) -> list[dict[str, Any]]:
    """Keywords of NFCTAttrTuple; or the status of those that only their reply direction tells.

    There is no filter on the reply direction: pyroute2 warns that many kernels get it wrong. Only
    where the destination was translated is it not the original one turned round.
    """
    if flow.either is not None:
        end = str(flow.either)
        return [{"saddr": end}, {"daddr": end}, {"status": _TRANSLATED}]
    selector: dict[str, Any] = {
        "saddr": str(flow.source) if flow.source else None,
        "daddr": str(flow.destination) if flow.destination else None,
        "proto": flow.protocol,
        "dport": flow.destination_port if flow.protocol in _WITH_PORTS else None,
    }
    return [{key: value for key, value in selector.items() if value is not None}]


def _filtered(selector: dict[str, Any]) -> bytes:
    if not selector:
        return _GENERIC
    pyroute2 = codec()
    if "status" in selector:
        status = selector["status"]
        message = pyroute2.connection.create_from(status=status, status_mask=status)
    else:
        wanted = pyroute2.connection_ends(**selector)
        wanted.attrs()  # sets its flags
        flags = {"attrs": [["CTA_FILTER_ORIG_FLAGS", wanted.flags]]}
        message = pyroute2.connection.create_from(tuple_orig=wanted, cta_filter=flags)
    message["nfgen_family"] = socket.AF_INET
    message.encode()
    return bytes(message.data[HEADER_SIZE:])


def _count() -> int:
    """How many connections are tracked in this thread's namespace; 0 if that is unknown."""
    return int(sysctl.read("net/netfilter/nf_conntrack_count") or 0)
