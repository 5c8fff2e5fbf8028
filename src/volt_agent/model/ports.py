"""Ports and protocols as users write them: `80,443,8000-8010`, `tcp`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from ..errors import Invalid

Transport = Literal["tcp", "udp"]
Protocol = Literal["tcp", "udp", "icmp", "any"]

# An nft interval set and a sane command line both take more; nobody reads more.
RANGES_MAX = 64


class PortRange(Struct, frozen=True, gc=False, order=True):
    """Ports `first`..`last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    @property
    def count(self) -> int:
        return self.last - self.first + 1


Ports = tuple[PortRange, ...]


def parse_ports(text: str) -> Ports:
    """`80`, `80,443`, `8000-8010`: sorted, overlaps merged. Raises Invalid, naming the part."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not all(parts):
        raise Invalid(f"{_shown(text)} is not a port or a list of ports", "write it as 80,443")
    ranges = sorted(map(parse_range, parts))
    if len(ranges) > RANGES_MAX:
        raise Invalid(f"{len(ranges)} port ranges are too many", f"use {RANGES_MAX} at most")
    return merge_ranges(ranges)


def parse_range(text: str) -> PortRange:
    """One port or one range. Raises Invalid."""
    first, dash, last = text.partition("-")
    numbers = [_port(first, text), _port(last, text)] if dash else [_port(first, text)] * 2
    if numbers[0] > numbers[1]:
        raise Invalid(f"port range {text} is reversed", f"write {numbers[1]}-{numbers[0]}")
    return PortRange(*numbers)


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise Invalid(f"{_shown(whole)} is not a port", "ports are 1 to 65535, ranges as 8000-8010")
    return int(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def merge_ranges(ranges: Iterable[PortRange]) -> Ports:
    """The same ports as sorted ranges that neither overlap nor touch."""
    merged: list[PortRange] = []
    for each in sorted(ranges):
        if merged and each.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, each.last))
        else:
            merged.append(each)
    return tuple(merged)


def show_ports(ports: Ports) -> str:
    """As users write them; "any" for none."""
    return ",".join(map(str, ports)) or "any"
