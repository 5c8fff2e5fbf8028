"""Ethernet, IPv4 (RFC 791) and UDP (RFC 768) around a DHCP message, and ARP (RFC 826).

Only what a DHCP server needs: no fragments (the socket's filter drops them), no VLAN tags.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from msgspec import Struct

SERVER_PORT, CLIENT_PORT = 67, 68
EVERYBODY = "ff:ff:ff:ff:ff:ff"

_IP, _ARP, _UDP = 0x0800, 0x0806, 17
_ETHERNET_SIZE, _IP_SIZE, _UDP_SIZE = 14, 20, 8
_IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
_UDP_HEADER = struct.Struct("!HHHH")
_ARP_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ARP_REQUEST, _ARP_REPLY = 1, 2
_NO_CHECKSUM = 0


class Datagram(Struct, frozen=True):
    """A UDP datagram and the MACs of its frame; addresses and ports of source and target."""

    source_mac: str
    target_mac: str
    source: IPv4Address
    target: IPv4Address
    source_port: int
    target_port: int
    data: bytes


def read(frame: bytes, has_checksum: bool = True) -> Datagram | None:
    """The datagram in an Ethernet frame; None if there is none, or a damaged one.

    `has_checksum` False: it comes from this machine and never was on a wire, so its checksum was
    not filled in.
    """
    packet = frame[_ETHERNET_SIZE:]
    if len(packet) < _IP_SIZE + _UDP_SIZE or frame[12:14] != _IP.to_bytes(2):
        return None
    head = (packet[0] & 15) * 4
    _, _, total, _, fragment, _, protocol, _, source, target = _IP_HEADER.unpack_from(packet)
    if packet[0] >> 4 != 4 or head < _IP_SIZE or protocol != _UDP or fragment & 0x3FFF:
        return None
    if not head + _UDP_SIZE <= total <= len(packet) or _sum(packet[:head]) != 0xFFFF:
        return None
    segment = packet[head:total]
    source_port, target_port, size, checksum = _UDP_HEADER.unpack_from(segment)
    if not _UDP_SIZE <= size <= len(segment):
        return None
    if has_checksum and checksum != _NO_CHECKSUM:
        pseudo = source + target + struct.pack("!HH", _UDP, size)
        if _sum(pseudo + segment[:size]) != 0xFFFF:
            return None
    return Datagram(
        frame[6:12].hex(":"),
        frame[:6].hex(":"),
        IPv4Address(source),
        IPv4Address(target),
        source_port,
        target_port,
        segment[_UDP_SIZE:size],
    )


def write(datagram: Datagram) -> bytes:
    """The Ethernet frame of `datagram`."""
    source, target = datagram.source.packed, datagram.target.packed
    size = _UDP_SIZE + len(datagram.data)
    ports = (datagram.source_port, datagram.target_port)
    pseudo = source + target + struct.pack("!HH", _UDP, size)
    plain = _UDP_HEADER.pack(*ports, size, 0) + datagram.data
    checksum = 0xFFFF - _sum(pseudo + plain) or 0xFFFF  # 0 would say that there is none
    head = _IP_HEADER.pack(0x45, 0, _IP_SIZE + size, 0, 0, 64, _UDP, 0, source, target)
    head = head[:10] + (0xFFFF - _sum(head)).to_bytes(2) + head[12:]
    ether = _mac(datagram.target_mac) + _mac(datagram.source_mac) + _IP.to_bytes(2)
    return ether + head + _UDP_HEADER.pack(*ports, size, checksum) + datagram.data


def who_has(address: IPv4Address, asker: IPv4Address, asker_mac: str) -> bytes:
    """An ARP request to everybody."""
    parties = (_mac(asker_mac), asker.packed, bytes(6), address.packed)
    packet = _ARP_PACKET.pack(1, _IP, 6, 4, _ARP_REQUEST, *parties)
    return _mac(EVERYBODY) + _mac(asker_mac) + _ARP.to_bytes(2) + packet


def read_arp_reply(frame: bytes) -> tuple[IPv4Address, str] | None:
    """Who says in an ARP reply that it has which address; None for any other frame."""
    if len(frame) < _ETHERNET_SIZE + _ARP_PACKET.size or frame[12:14] != _ARP.to_bytes(2):
        return None
    kind, protocol, _, _, operation, mac, address, _, _ = _ARP_PACKET.unpack_from(
        frame, _ETHERNET_SIZE
    )
    if (kind, protocol, operation) != (1, _IP, _ARP_REPLY):
        return None
    return IPv4Address(address), mac.hex(":")


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071); 0xFFFF for data with a true checksum."""
    padded = data + b"\0" * (len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
