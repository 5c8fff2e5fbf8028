"""What a decision asks of a snapshot, and which of its objects fit a packet."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from ..model.firewall import Forward, Peer, Policy, Rule
from ..model.network import Network
from ..model.ports import Ports
from ..model.snapshot import Snapshot
from .packet import Packet

# Parsing a subnet takes 5 us, and rules on subnets are looked at one by one.
_subnet = lru_cache(maxsize=4096)(IPv4Network)


class Facts:
    """A snapshot, all of it: here any object may concern any packet.

    `judge.Judge` gives the same answers and looks at less.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def rules_about(self, packet: Packet) -> Iterable[Rule]:
        """At least those whose destination fits, in no particular order."""
        return self.snapshot.rules.values()

    def policies_about(self, packet: Packet) -> Iterable[Policy]:
        """At least those whose target fits, in no particular order."""
        return self.snapshot.policies.values()

    def forwards_of(self, packet: Packet) -> Iterable[Forward]:
        """At least those of the packet's protocol and port."""
        return self.snapshot.forwards.values()

    def is_at(self, workload: str, address: IPv4Address) -> bool:
        """Whether the workload has this address."""
        return address in self.snapshot.addresses_of(workload)

    def network_with(self, address: IPv4Address) -> Network | None:
        """The network in whose subnet it is."""
        for network in self.snapshot.networks.values():
            if address in network.subnet:
                return network
        return None

    def network_of(self, packet: Packet) -> Network | None:
        """The network a workload speaks on; None for one that has no such address."""
        if packet.origin != "workload":
            return None
        if packet.bridge_network is not None:
            network = self.snapshot.networks.get(packet.bridge_network)
            if network and network.port_security and packet.source not in network.subnet:
                return None
            return network
        return self.network_with(packet.source)

    def gateway_network(self, packet: Packet) -> Network | None:
        """The network whose gateway the packet is for."""
        network = self.network_with(packet.destination)
        return network if network and network.gateway == packet.destination else None

    def is_for_host(self, packet: Packet) -> bool:
        if packet.is_local or packet.destination.is_loopback:
            return True
        return self.gateway_network(packet) is not None


def first_rule(facts: Facts, packet: Packet, to_host: bool) -> Rule | None:
    """The rule that decides: the earliest of those that match."""
    matching = (
        rule
        for rule in facts.rules_about(packet)
        if (rule.dest.kind == "host") == to_host
        and serves(rule, packet)
        and (to_host or is_to(facts, rule.dest, packet))
        and is_from(facts, rule.source, packet)
    )
    return min(matching, key=lambda rule: rule.sequence, default=None)


def forward_of(facts: Facts, packet: Packet) -> Forward | None:
    """The forward that translates `packet`; one of a single address comes before one of all."""
    if packet.protocol not in ("tcp", "udp") or not facts.is_for_host(packet):
        return None
    fitting = [
        each
        for each in facts.forwards_of(packet)
        if each.protocol == packet.protocol
        and packet.port in each.ports
        and each.host_ip in (None, packet.destination)
        and facts.snapshot.addresses_of(each.target)
    ]
    return min(fitting, key=lambda each: (each.host_ip is None, each.key), default=None)


def serves(each: Rule | Policy, packet: Packet) -> bool:
    """Whether protocol and port fit."""
    return each.protocol in ("any", packet.protocol) and _has(each.ports, packet.port)


def is_from(facts: Facts, peer: Peer, packet: Packet) -> bool:
    """Whether the packet's source is what `peer` means."""
    if peer.kind == "outside":
        return packet.origin == "outside"
    if peer.kind == "range":
        return packet.source in _subnet(peer.name)
    if peer.kind == "workload":
        return packet.origin == "workload" and facts.is_at(peer.name, packet.source)
    if peer.kind == "network":
        network = facts.network_of(packet)
        return network is not None and network.name == peer.name
    return True


def is_to(facts: Facts, peer: Peer, packet: Packet) -> bool:
    """Whether the packet's destination is what `peer` means, which is not the host."""
    if peer.kind == "range":
        return packet.destination in _subnet(peer.name)
    if peer.kind == "workload":
        return facts.is_at(peer.name, packet.destination)
    network = facts.network_with(packet.destination)
    if peer.kind == "network":
        return network is not None and network.name == peer.name
    return network is not None


def _has(ports: Ports, port: int) -> bool:
    return not ports or any(port in each for each in ports)
