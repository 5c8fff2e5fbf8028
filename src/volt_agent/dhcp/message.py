"""One DHCP message (RFC 2131, section 2) <-> octets. Strict: what is not understood is none."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from ipaddress import IPv4Address

from msgspec import Struct

from . import options
from .options import Malformed, Option

__all__ = ["Kind", "Malformed", "Message", "encode", "parse"]

REQUEST, REPLY = 1, 2
_ETHERNET, _MAC_SIZE = 1, 6
_COOKIE = b"\x63\x82\x53\x63"  # RFC 2131, section 3
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_BROADCAST = 0x8000
# BOOTP's size (RFC 951), which old clients and relays insist on; and what everybody can receive
# (RFC 2131, section 2): a message of 576 octets with its IP and UDP headers.
SIZE_MIN = 300
SIZE_DEFAULT = 548
SIZE_MAX = 1472
_HOPS_MAX = 16  # RFC 1542, section 4.1.1
_NOBODY = IPv4Address(0)


class Kind(IntEnum):
    """The message types (RFC 2132, section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


FROM_CLIENTS = frozenset({Kind.DISCOVER, Kind.REQUEST, Kind.DECLINE, Kind.RELEASE, Kind.INFORM})


class Message(Struct, frozen=True, kw_only=True):
    """A message, without what volt never looks at. `mac` is `chaddr`; options are raw, by code."""

    kind: Kind
    xid: int
    mac: str
    op: int = REQUEST
    hops: int = 0
    seconds: int = 0
    broadcast: bool = False
    ciaddr: IPv4Address = _NOBODY
    yiaddr: IPv4Address = _NOBODY
    siaddr: IPv4Address = _NOBODY
    giaddr: IPv4Address = _NOBODY
    options: Mapping[int, bytes] = {}

    @property
    def requested(self) -> IPv4Address | None:
        return self._address(Option.REQUESTED_ADDRESS)

    @property
    def server(self) -> IPv4Address | None:
        """The server that a client speaks to, or that speaks."""
        return self._address(Option.SERVER_ID)

    @property
    def is_relayed(self) -> bool:
        return self.giaddr != _NOBODY

    @property
    def room(self) -> int:
        """How large a reply may be: what the client says it takes, within reason."""
        stated = int.from_bytes(self.options.get(Option.MAX_SIZE, b"")) - 28  # IP and UDP headers
        return min(max(stated, SIZE_DEFAULT), SIZE_MAX)

    def _address(self, code: Option) -> IPv4Address | None:
        value = self.options.get(code)
        return IPv4Address(value) if value is not None else None


def parse(data: bytes) -> Message:
    """Read a message. Raises Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed(f"{len(data)} octets")
    (op, hardware, size, hops, xid, seconds, flags, *fields, cookie) = _HEADER.unpack_from(data)
    ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file = fields
    if (hardware, size, cookie) != (_ETHERNET, _MAC_SIZE, _COOKIE) or op not in (REQUEST, REPLY):
        raise Malformed("not DHCP over Ethernet")
    if hops > _HOPS_MAX:
        raise Malformed(f"{hops} hops")
    found = _all_options(data[_HEADER.size :], file, sname)
    return Message(
        kind=_kind(found),
        xid=xid,
        mac=_mac(chaddr),
        op=op,
        hops=hops,
        seconds=seconds,
        broadcast=bool(flags & _BROADCAST),
        ciaddr=IPv4Address(ciaddr),
        yiaddr=IPv4Address(yiaddr),
        siaddr=IPv4Address(siaddr),
        giaddr=IPv4Address(giaddr),
        options=found,
    )


def encode(message: Message, room: int = SIZE_DEFAULT) -> bytes:
    """The octets of a message, `room` at most; options that do not fit are left out."""
    chaddr = bytes.fromhex(message.mac.replace(":", "")).ljust(16, b"\0")
    header = _HEADER.pack(
        message.op,
        _ETHERNET,
        _MAC_SIZE,
        message.hops,
        message.xid,
        message.seconds,
        _BROADCAST if message.broadcast else 0,
        message.ciaddr.packed,
        message.yiaddr.packed,
        message.siaddr.packed,
        message.giaddr.packed,
        chaddr,
        bytes(64),
        bytes(128),
        _COOKIE,
    )
    all_options = {Option.MESSAGE_TYPE: bytes((message.kind,)), **message.options}
    return (header + options.encode(all_options, room - len(header))).ljust(SIZE_MIN, b"\0")


def _all_options(field: bytes, file: bytes, sname: bytes) -> dict[int, bytes]:
    """Those of the options field, then what overflowed into `file` and `sname` (section 4.1)."""
    found = options.parse(field)
    overload = found.pop(Option.OVERLOAD, b"\0")
    if overload not in (b"\0", b"\1", b"\2", b"\3"):
        raise Malformed("an overload that means nothing")
    for bit, more in ((1, file), (2, sname)):
        if overload[0] & bit:
            for code, value in options.parse(more).items():
                found[code] = found.get(code, b"") + value
    options.check(found)
    return found


def _kind(found: dict[int, bytes]) -> Kind:
    value = found.pop(Option.MESSAGE_TYPE, b"")
    try:
        return Kind(value[0])
    except (IndexError, ValueError):
        raise Malformed("no message type") from None


def _mac(chaddr: bytes) -> str:
    """Raises Malformed for a group address: no interface has one."""
    if chaddr[0] & 1 or not any(chaddr[:_MAC_SIZE]):
        raise Malformed("not the hardware address of an interface")
    return chaddr[:_MAC_SIZE].hex(":")
