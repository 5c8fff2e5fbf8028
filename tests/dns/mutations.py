"""Packets that are almost queries: good ones, with a few octets changed, cut or added."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from .world import packet, with_opt

COOKIE = b"\0\x0a\0\x08abcdefgh"
SEEDS = (
    packet("db"),
    packet("db.volt.local", "AAAA"),
    packet("nobody.volt.local", "ANY"),
    packet("volt.local", "SOA"),
    packet("5.0.30.10.in-addr.arpa", "PTR"),
    packet("www.example.com", rd=0),
    packet("x.onion", "TXT"),
    with_opt(packet("db")),
    with_opt(packet("web", "ANY"), size=512, do=True),
    with_opt(packet("db.backend.volt.local"), options=COOKIE),
    with_opt(packet("_dns.resolver.arpa"), version=1),
    packet("db")[:2] + b"\x81\x80" + packet("db")[4:],
)
# Octets at which readers of DNS stumble: pointers, lengths at their limits.
_TRAPS = (0x00, 0x01, 0x3F, 0x40, 0x41, 0x80, 0xC0, 0xFF)


def mutated(random: Random) -> Iterator[bytes]:
    """Ever new ones, the same for the same `random`."""
    while True:
        packet = bytearray(random.choice(SEEDS))
        for _ in range(random.randint(1, 5)):
            random.choice(_WAYS)(packet, random)
        yield bytes(packet)


def _change(packet: bytearray, random: Random) -> None:
    if packet:
        packet[random.randrange(len(packet))] = random.randrange(256)


def _trap(packet: bytearray, random: Random) -> None:
    if packet:
        packet[random.randrange(len(packet))] = random.choice(_TRAPS)


def _recount(packet: bytearray, random: Random) -> None:
    if len(packet) >= 12:
        packet[random.randrange(4, 12)] = random.choice((0, 1, 2, 255))


def _cut(packet: bytearray, random: Random) -> None:
    if packet:
        del packet[random.randrange(len(packet)) :]


def _add(packet: bytearray, random: Random) -> None:
    packet += random.randbytes(random.randint(1, 40))


def _repeat(packet: bytearray, random: Random) -> None:
    packet += packet[random.randrange(len(packet) + 1) :]


_WAYS = (_change, _change, _trap, _trap, _recount, _cut, _add, _repeat)
