"""Ethernet frames, true and false ones, and a wire to put them on.

Every frame carries a token as its last bytes, by which `Wire.sees` finds it again.
"""

from __future__ import annotations

import itertools
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.namespaces import network_namespace

IP, ARP, IP6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
ICMP, IGMP, TCP, UDP, ICMP6 = 1, 2, 6, 17, 58
BROADCAST = "ff:ff:ff:ff:ff:ff"
ZERO = "0.0.0.0"

_EVERYTHING = 0x0003  # ETH_P_ALL, linux/if_ether.h
_OUTGOING = 4  # PACKET_OUTGOING, linux/if_packet.h
_numbers = itertools.count(1)


def token() -> bytes:
    """Bytes that no other frame has."""
    return b"token-%08d" % next(_numbers)


def ethernet(target: str, source: str, kind: int, payload: bytes, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
    return _mac(target) + _mac(source) + tag + struct.pack("!H", kind) + payload


def ipv4(source: str, target: str, protocol: int, body: bytes) -> bytes:
    """An IPv4 packet (RFC 791)."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    return head[:10] + _checksum(head + addresses) + addresses + body


def udp(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A UDP datagram (RFC 768) in IPv4, without a checksum."""
    return ipv4(source, target, UDP, _udp(ports, data))


def tcp(source: str, target: str, ports: tuple[int, int], flags: int, data: bytes) -> bytes:
    """A TCP segment (RFC 9293) in IPv4, with its checksum: conntrack looks at it."""
    parties = IPv4Address(source).packed + IPv4Address(target).packed
    segment = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, flags, 1000, 0, 0) + data
    pseudo = parties + struct.pack("!BBH", 0, TCP, len(segment))
    padded = pseudo + segment + b"\0" * (len(segment) % 2)
    return ipv4(source, target, TCP, segment[:16] + _checksum(padded) + segment[18:])


def icmp(source: str, target: str, kind: int, data: bytes) -> bytes:
    """An ICMP message (RFC 792) in IPv4, code 0."""
    body = struct.pack("!BBHI", kind, 0, 0, 0) + data
    body += b"\0" * (len(body) % 2)
    return ipv4(source, target, ICMP, body[:2] + _checksum(body) + body[4:])


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str], padding: bytes) -> bytes:
    """An ARP packet (RFC 826) for Ethernet and IPv4; `sender` and `target` are (MAC, address)."""
    parties = b"".join(_mac(mac) + IPv4Address(ip).packed for mac, ip in (sender, target))
    return struct.pack("!HHBBH", 1, IP, 6, 4, operation) + parties + padding


def ipv6(source: str, target: str, protocol: int, body: bytes) -> bytes:
    """An IPv6 packet (RFC 8200) with the hop limit that neighbour discovery asks for."""
    addresses = IPv6Address(source).packed + IPv6Address(target).packed
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + addresses + body


def udp6(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A UDP datagram in IPv6. Its checksum is wrong: what counts is the way to the socket."""
    return ipv6(source, target, UDP, _udp(ports, data))


def icmp6(source: str, target: str, kind: int, data: bytes) -> bytes:
    """An ICMPv6 message (RFC 4443), code 0. Its checksum is wrong."""
    return ipv6(source, target, ICMP6, struct.pack("!BBHI", kind, 0, 0, 0) + data)


class Wire:
    """A packet socket on one interface of a namespace: sends frames, sees what comes in."""

    def __init__(self, namespace: str, interface: str) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with network_namespace(Path(namespace)):
            self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_EVERYTHING))
        self._socket.bind((interface, _EVERYTHING))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def sees(self, last: bytes, within: float = 60) -> set[bytes]:
        """The tokens of everything that comes in up to the frame that ends with `last`.

        One port's frames stay in order: whatever was sent before `last` and is not among them was
        dropped. Raises TimeoutError if `last` does not come.
        """
        self._socket.settimeout(within)
        seen: set[bytes] = set()
        while last not in seen:
            frame, (_, _, direction, *_) = self._socket.recvfrom(65536)
            if direction != _OUTGOING:
                seen.add(frame[-len(last) :])
        return seen


def _udp(ports: tuple[int, int], data: bytes) -> bytes:
    return struct.pack("!HHHH", *ports, 8 + len(data), 0) + data


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> bytes:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", 0xFFFF - (total + (total >> 16)) & 0xFFFF)
