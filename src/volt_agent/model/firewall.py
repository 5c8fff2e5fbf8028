"""What users asked of the firewall: rules, policies, port forwards."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from msgspec import Struct

from .ports import PortRange, Ports, Protocol, Transport

RuleAction = Literal["accept", "drop", "reject"]
PolicyAction = Literal["allow", "deny"]


class Peer(Struct, frozen=True, gc=False):
    """One end of a rule or policy, as the user meant it.

    `kind` tells how to read `name`: "workload" and "network" are names (all addresses of the
    workload; the subnet of the network); "range" is a subnet in CIDR form (a single address is a
    /32); "any", "host" and "outside" have no name. A name that is both a workload's and a
    network's means the workload.
    """

    kind: Literal["any", "host", "outside", "range", "workload", "network"]
    name: str = ""

    @property
    def range(self) -> IPv4Network:
        """The subnet of a "range"."""
        return IPv4Network(self.name)

    def __str__(self) -> str:
        if self.kind == "range" and self.name.endswith("/32"):
            return self.name.removesuffix("/32")
        return self.name or self.kind


class Rule(Struct, frozen=True, gc=False):
    """A firewall rule. `sequence` orders rules by creation; the first that matches decides.

    `dest` "any" means every workload, not the host. `ports` () is every port; behind a forward they
    are the target's. `protocol` "any" goes with no ports.
    """

    name: str
    sequence: int
    source: Peer
    dest: Peer
    ports: Ports
    protocol: Protocol
    action: RuleAction

    @property
    def key(self) -> str:
        return self.name


class Policy(Struct, frozen=True, gc=False):
    """A network policy between workloads; `source` and `target` are workloads or networks.

    An allow policy isolates its target: other workloads reach it through policies only.
    """

    name: str
    sequence: int
    source: Peer
    target: Peer
    ports: Ports
    protocol: Protocol
    action: PolicyAction

    @property
    def key(self) -> str:
        return self.name


class Forward(Struct, frozen=True, gc=False):
    """Ports of the host that lead to a workload, to the address on its first network.

    `ports` of the host map one to one to `target_port`, `target_port + 1`, ... `host_ip` None is
    every address of the host, 127.0.0.1 included.
    """

    protocol: Transport
    ports: PortRange
    target: str
    target_port: int
    host_ip: IPv4Address | None = None

    @property
    def key(self) -> str:
        return f"{self.protocol}/{self.host_ip or '*'}/{self.ports}"
