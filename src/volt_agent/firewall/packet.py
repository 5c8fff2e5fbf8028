"""The question and the answer of `verdict`: the first packet of a connection, and its fate."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from msgspec import Struct

from ..model.firewall import Forward, Policy, Rule

Origin = Literal["workload", "host", "outside"]
Service = Literal["tcp", "udp", "icmp", "other"]


class Packet(Struct, frozen=True):
    """The first packet of a connection, before a forward translates it.

    `origin` is where it comes from: one of volt's bridges, the host itself, anywhere else. An icmp
    packet is an echo request; "other" is any protocol else. `is_local` says that `destination` is
    an address of the host; those of 127.0.0.0/8 and the gateways are known to be without it.
    `bridge_network` is the network a workload speaks on, where its source address does not tell
    (port security off).
    """

    origin: Origin
    source: IPv4Address
    destination: IPv4Address
    protocol: Service
    port: int = 0
    is_local: bool = False
    bridge_network: str | None = None


class Verdict(Struct, frozen=True):
    """`by` names the object that decided ("policy: app-to-db", "rule: block-ssh", "forward: 80 ->
    web:8080", "default"); `reason` says it in words. `destination` and `port` are those behind a
    forward, and `to_host` tells whether the host itself is meant in the end.
    """

    allowed: bool
    by: str
    reason: str
    destination: IPv4Address
    port: int
    to_host: bool = False
    decided: Rule | Policy | Forward | None = None
