"""Probe packets: one IPv4 packet each, that a receiver knows again whatever was translated.

The number of a probe is its TCP sequence number, or the payload of its datagram or echo request:
connection tracking changes neither. A closed port answers (RST, port unreachable) and an echo
request does, so a reply names the probe too.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Literal

from msgspec import Struct

TCP, UDP, ICMP = 6, 17, 1
PROTOCOLS: dict[str, int] = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
# Forwarding takes one hop off; replies start at 64. So this tells a probe from everything else.
TTL = 200

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_ECHO, _ECHO_REPLY, _UNREACHABLE = 8, 0, 3
_MARK = 0x766F6C74  # in front of the number, where there is room for it
_NUMBER = struct.Struct("!II")


class Probe(Struct, frozen=True):
    """One attempt: a new connection from `source` ("host", "outside", a workload) to an address.

    `by` is the address it comes from, and `device` the interface it leaves by ("" for any).
    """

    source: str
    by: IPv4Address
    device: str
    target: IPv4Address
    protocol: Literal["tcp", "udp", "icmp"]
    port: int = 0

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.source} ({self.by}) -> {self.target}{port} {self.protocol}"


def build(probe: Probe, number: int, source_port: int) -> bytes:
    """The packet of a probe; the kernel fills in length, id and checksum of the IP header."""
    payload = _NUMBER.pack(_MARK, number)
    if probe.protocol == "tcp":
        body = _segment(probe, source_port, number)
    elif probe.protocol == "udp":  # a checksum of 0 is none (RFC 768)
        body = struct.pack("!HHHH", source_port, probe.port, 8 + len(payload), 0) + payload
    else:
        echo = struct.pack("!BBHHH", _ECHO, 0, 0, source_port, 1) + payload
        body = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, TTL, PROTOCOLS[probe.protocol], 0)
    return head + probe.by.packed + probe.target.packed + body


def _segment(probe: Probe, source_port: int, number: int) -> bytes:
    """A SYN with `number` as its sequence number (RFC 9293, section 3.1)."""
    plain = struct.pack("!HHIIBBHHH", source_port, probe.port, number, 0, 5 << 4, _SYN, 8192, 0, 0)
    pseudo = probe.by.packed + probe.target.packed + struct.pack("!HH", TCP, len(plain))
    return plain[:16] + struct.pack("!H", checksum(pseudo + plain)) + plain[18:]


class Sight(Struct, frozen=True):
    """What a raw socket saw: a probe that arrived, or what came back (`answer`) for one."""

    number: int
    arrived: bool
    answer: bool


def read(packet: bytes) -> Sight | None:
    """What an IPv4 packet means, None if it is about no probe."""
    start = (packet[0] & 15) * 4
    protocol, body = packet[9], packet[start:]
    if protocol == TCP:
        sequence, acknowledged = struct.unpack_from("!II", body, 4)
        flags = body[13]
        if flags & (_SYN | _RST | _ACK) == _SYN and packet[8] > 64:
            return Sight(sequence, True, False)
        if flags & _RST:
            return Sight((acknowledged - 1) & 0xFFFFFFFF, False, True)
        return None
    if protocol == UDP:
        return _payload(body[8:16], arrived=packet[8] > 64)
    if protocol != ICMP:
        return None
    if body[0] in (_ECHO, _ECHO_REPLY):
        return _payload(body[8:16], arrived=body[0] == _ECHO)
    if body[0] == _UNREACHABLE:
        return _quoted(body[8:])
    return None


def _payload(data: bytes, arrived: bool) -> Sight | None:
    if len(data) < _NUMBER.size:
        return None
    mark, number = _NUMBER.unpack(data)
    return Sight(number, arrived, not arrived) if mark == _MARK else None


def _quoted(packet: bytes) -> Sight | None:
    """The probe that an ICMP error is about (RFC 792: it quotes the packet)."""
    start = (packet[0] & 15) * 4
    body = packet[start:]
    if packet[9] == TCP:
        return Sight(struct.unpack_from("!I", body, 4)[0], False, True)
    return _payload(body[8:16], arrived=False)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - (total + (total >> 16)) & 0xFFFF
