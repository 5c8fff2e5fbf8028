"""Which header fields a rule or policy looks at: its shape, which names a generated set.

Rules of one shape differ in values only (an address, a port), so one look-up in one set serves all
of them, however many there are. Prefixes are shapes too: a subnet is a look-up of the masked
address. The cost of a packet grows with the number of different shapes, not of rules. ("Tuple space
search", Srinivasan, Suri and Varghese, SIGCOMM 1999.)
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network
from typing import Literal, cast

from msgspec import Struct

from .ruleset import Set

# Rules on forwarded traffic, rules on traffic to the host, policies.
Area = Literal["rule", "host", "policy"]
# `net` is a network, by its bridge; `own` a workload's address; a number is a prefix length.
SourceField = str  # "any" "outside" "net" "own" "0".."32"
DestField = str  # "any" "host" "net" "0".."32"
# No protocol, a protocol, protocol and port, protocol and a block of BLOCK ports.
Service = Literal["any", "proto", "port", "block"]

BLOCK = 256

_TYPES = {"iifname": "ifname", "oifname": "ifname", "meta nfproto": "nf_proto"}


class Shape(Struct, frozen=True):
    """`level` orders look-ups: those of a lower one come first (see `levels`)."""

    area: Area
    level: int
    source: SourceField
    dest: DestField
    service: Service
    action: str

    @property
    def name(self) -> str:
        """The name of its set."""
        return shape_name(self.area, self.level, self.source, self.dest, self.service, self.action)

    @property
    def fields(self) -> tuple[str, ...]:
        """What a packet is looked up by, in nft's language."""
        found = [*_source(self.source), *_dest(self.dest)]
        if self.service != "any":
            found.append("meta l4proto")
        if self.service == "port":
            found.append("th dport")
        elif self.service == "block":
            found.append(f"th dport & {65536 - BLOCK}")
        return tuple(found) or ("meta nfproto",)

    @property
    def guards(self) -> tuple[str, ...]:
        """What else must hold: 0.0.0.0/0 is IPv4 only; "any" destination is every workload."""
        found = []
        if "0" in (self.source, self.dest):
            found.append("meta nfproto ipv4")
        if self.dest == "any":
            found.append("oifname @bridges")
        return tuple(found)

    def lookup(self, statement: str) -> str:
        """The rule that looks up a packet and does `statement` if it is found."""
        return " ".join([*self.guards, " . ".join(self.fields), f"@{self.name}", statement])

    def set(self) -> Set:
        key = " . ".join(map(_type, self.fields))
        return Set(self.name, key, counted=True)


@lru_cache(maxsize=4096)
def shape_name(
    area: Area, level: int, source: SourceField, dest: DestField, service: Service, action: str
) -> str:
    """The name of a shape's set. Begins with a word that nft knows, and is none itself."""
    return f"{area}-{level}-{source}-{dest}-{service}-{action}"


@lru_cache(maxsize=4096)
def shape_of(name: str) -> Shape | None:
    """The shape whose set is called `name`; None for a set that is not generated."""
    parts = name.split("-")
    if len(parts) != 6 or parts[0] not in ("rule", "host", "policy"):
        return None
    area, level, source, dest, service, action = parts
    return Shape(cast(Area, area), int(level), source, dest, cast(Service, service), action)


def _source(field: SourceField) -> list[str]:
    if field in ("any", "outside", "0"):
        return []
    if field == "net":
        return ["iifname"]
    return [_masked("ip saddr", "32" if field == "own" else field)]


def _dest(field: DestField) -> list[str]:
    if field in ("any", "host", "0"):
        return []
    return ["oifname"] if field == "net" else [_masked("ip daddr", field)]


def _masked(field: str, prefix: str) -> str:
    return field if prefix == "32" else f"{field} & {IPv4Network(f'0.0.0.0/{prefix}').netmask}"


def _type(field: str) -> str:
    if field.startswith("ip "):
        return "ipv4_addr"
    if field.startswith("th "):
        return "inet_service"
    return "inet_proto" if field == "meta l4proto" else _TYPES[field]
