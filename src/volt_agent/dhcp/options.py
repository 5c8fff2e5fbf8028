"""The options of RFC 2132 and others: their numbers, and their values as octets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from ipaddress import IPv4Address


class Option(IntEnum):
    """IANA "BOOTP Vendor Extensions and DHCP Options"."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    MTU = 26
    BROADCAST = 28
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    MESSAGE = 56
    MAX_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_ID = 61
    DOMAIN_SEARCH = 119
    END = 255


# How long a value of a client must be (RFC 2132, sections 9 and 3.3), where we read it.
LENGTHS: Mapping[int, range] = {
    Option.REQUESTED_ADDRESS: range(4, 5),
    Option.OVERLOAD: range(1, 2),
    Option.MESSAGE_TYPE: range(1, 2),
    Option.SERVER_ID: range(4, 5),
    Option.MAX_SIZE: range(2, 3),
    Option.CLIENT_ID: range(2, 256),
}


class Malformed(ValueError):
    """These octets are no DHCP message."""


def parse(field: bytes) -> dict[int, bytes]:
    """The options in one field, up to END; parts of one option are joined (RFC 3396).

    Raises Malformed for one that is longer than its field.
    """
    found: dict[int, bytes] = {}
    at, end = 0, len(field)
    while at < end:
        code = field[at]
        if code == Option.END:
            break
        if code == Option.PAD:
            at += 1
            continue
        if at + 1 >= end or at + 2 + field[at + 1] > end:
            raise Malformed(f"option {code} is longer than its field")
        size = field[at + 1]
        found[code] = found.get(code, b"") + field[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def check(found: Mapping[int, bytes]) -> None:
    """Raises Malformed for a value of a length that it cannot have."""
    for code, lengths in LENGTHS.items():
        if code in found and len(found[code]) not in lengths:
            raise Malformed(f"option {code} with {len(found[code])} octets")


def encode(options: Mapping[int, bytes], room: int) -> bytes:
    """Options in their order, END included, in at most `room` octets: those that do not fit whole
    are left out. Values over 255 octets are split (RFC 3396)."""
    parts, left = [], room - 1
    for code, value in options.items():
        chunks = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
        whole = b"".join(bytes((code, len(chunk))) + chunk for chunk in chunks)
        if len(whole) <= left:
            parts.append(whole)
            left -= len(whole)
    return b"".join(parts) + bytes((Option.END,))


def addresses(*values: IPv4Address) -> bytes:
    return b"".join(each.packed for each in values)


def seconds(value: int) -> bytes:
    return value.to_bytes(4)


def search_list(domains: Sequence[str]) -> bytes:
    """Domain names in DNS wire format, uncompressed (RFC 3397, section 2)."""
    return b"".join(_domain(each) for each in domains)


def _domain(name: str) -> bytes:
    labels: Iterable[bytes] = (label.encode("ascii") for label in name.strip(".").split("."))
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
