"""Ethernet frames, true and false ones, and a wire to put them on.

Every frame carries a token as its last bytes, by which `Wire.sees` finds it again.
"""

from __future__ import annotations

import itertools
import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.namespaces import network_namespace

IP, ARP, IP6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
UDP = 17
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


def udp(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram (RFC 791, RFC 768), the UDP checksum left out."""
    body = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, UDP, 0)
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    return head[:10] + _checksum(head + addresses) + addresses + body


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str], padding: bytes) -> bytes:
    """An ARP packet (RFC 826) for Ethernet and IPv4; `sender` and `target` are (MAC, address)."""
    parties = b"".join(_mac(mac) + IPv4Address(ip).packed for mac, ip in (sender, target))
    return struct.pack("!HHBBH", 1, IP, 6, 4, operation) + parties + padding


def udp6(data: bytes) -> bytes:
    """An IPv6 packet from one link-local address to another (RFC 8200)."""
    body = struct.pack("!HHHH", 80, 80, 8 + len(data), 0) + data
    addresses = b"".join(bytes([0xFE, 0x80, *[0] * 13, last]) for last in (5, 6))
    return struct.pack("!IHBB", 6 << 28, len(body), UDP, 64) + addresses + body


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

    def sees(self, last: bytes, within: float = 5) -> set[bytes]:
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


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(head: bytes) -> bytes:
    """The internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", 0xFFFF - (total + (total >> 16)) & 0xFFFF)
