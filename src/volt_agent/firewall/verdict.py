"""What becomes of a new connection: the model behind `policy test`.

It reads the objects of the snapshot, not the compiled ruleset, in the order of DESIGN's decision: a
firewall drop is final, then a policy deny, a policy allow, isolation, a firewall accept, and the
defaults. Established connections and replies follow their first packet and are no matter of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ..model.firewall import Forward, Peer, Policy, Rule
from ..model.network import Network
from ..model.ports import Ports
from ..model.snapshot import Snapshot

Origin = Literal["workload", "host", "outside"]
Service = Literal["tcp", "udp", "icmp", "other"]

_LOOPBACK = IPv4Network("127.0.0.0/8")
_DNS = 53
_DHCP = 67


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


def decide(snapshot: Snapshot, packet: Packet) -> Verdict:
    """What happens to `packet`. Complete: there is an answer for every packet."""
    if packet.origin == "workload" and _is_loopback(packet):
        return _say(packet, False, "default", "workloads have no way to 127.0.0.0/8")
    forward, packet = _through_forwards(snapshot, packet)
    if _is_for_host(snapshot, packet):
        return _to_host(snapshot, packet)
    return _onwards(snapshot, packet, forward)


def forward_of(snapshot: Snapshot, packet: Packet) -> Forward | None:
    """The forward that translates `packet`; one of a single address comes before one of all."""
    if not _is_for_host(snapshot, packet) or packet.protocol not in ("tcp", "udp"):
        return None
    fitting = [
        each
        for each in snapshot.forwards.values()
        if each.protocol == packet.protocol
        and packet.port in each.ports
        and each.host_ip in (None, packet.destination)
        and snapshot.addresses_of(each.target)
    ]
    return min(fitting, key=lambda each: (each.host_ip is None, each.key), default=None)


def translated(snapshot: Snapshot, packet: Packet, forward: Forward) -> Packet:
    """`packet` behind `forward`: to the target's address on its first network."""
    return replace(
        packet,
        destination=snapshot.addresses_of(forward.target)[0],
        port=forward.target_port + packet.port - forward.ports.first,
        is_local=False,
    )


def _through_forwards(snapshot: Snapshot, packet: Packet) -> tuple[Forward | None, Packet]:
    forward = forward_of(snapshot, packet)
    if forward is None:
        return None, packet
    return forward, translated(snapshot, packet, forward)


# ---- to the host --------------------------------------------------------------------------------


def _to_host(snapshot: Snapshot, packet: Packet) -> Verdict:
    if packet.origin == "host":
        return _say(packet, True, "default", "the host reaches itself", to_host=True)
    if packet.origin == "workload" and _network_of(snapshot, packet) is None:
        return _foreign_source(packet, to_host=True)
    if packet.origin == "outside" and _gateway_network(snapshot, packet) is not None:
        reason = "gateway addresses are closed to the outside"
        return _say(packet, False, "default", reason, to_host=True)
    rule = _first_rule(snapshot, packet, to_host=True)
    if rule is not None:
        reason = f"rule {rule.name} says {rule.action}"
        accepts = rule.action == "accept"
        return _say(packet, accepts, f"rule: {rule.name}", reason, to_host=True, decided=rule)
    if packet.origin == "workload":
        return _workload_to_host(snapshot, packet)
    return _outside_to_host(snapshot, packet)


def _workload_to_host(snapshot: Snapshot, packet: Packet) -> Verdict:
    is_own = _gateway_network(snapshot, packet) == _network_of(snapshot, packet)
    is_dns = packet.protocol in ("tcp", "udp") and packet.port == _DNS
    if is_own and (packet.protocol == "icmp" or is_dns):
        return _say(packet, True, "default", "DNS and ping of the own gateway", to_host=True)
    if is_own and (packet.protocol, packet.port) == ("udp", _DHCP):
        return _say(packet, True, "default", "DHCP", to_host=True)
    return _say(packet, False, "default", "workloads do not reach the host", to_host=True)


def _outside_to_host(snapshot: Snapshot, packet: Packet) -> Verdict:
    host = snapshot.host
    if host.inbound == "allow" or host.settling:
        return _say(packet, True, "default", "host_inbound: allow", to_host=True)
    is_open = (
        host.ping
        if packet.protocol == "icmp"
        else any(
            each.protocol == packet.protocol and each.first <= packet.port <= each.last
            for each in host.ports
        )
    )
    reason = "open by host_allow" if is_open else "not open on this host (host_inbound: deny)"
    return _say(packet, is_open, "default", reason, to_host=True)


# ---- to workloads, and out ----------------------------------------------------------------------


def _onwards(snapshot: Snapshot, packet: Packet, forward: Forward | None) -> Verdict:
    if packet.origin == "host":
        return _say(packet, True, _by(forward), "the host reaches every workload", decided=forward)
    if packet.origin == "workload" and _network_of(snapshot, packet) is None:
        return _foreign_source(packet)
    rule = _first_rule(snapshot, packet, to_host=False)
    if rule is not None and rule.action != "accept":
        reason = f"rule {rule.name} says {rule.action}"
        return _say(packet, False, f"rule: {rule.name}", reason, decided=rule)
    if packet.origin == "workload":
        by_policy = _by_policy(snapshot, packet)
        if by_policy is not None:
            return by_policy
    if rule is not None:
        reason = f"rule {rule.name} says accept"
        return _say(packet, True, f"rule: {rule.name}", reason, decided=rule)
    if packet.origin == "outside":
        return _from_outside(snapshot, packet, forward)
    return _by_default(snapshot, packet)


def _from_outside(snapshot: Snapshot, packet: Packet, forward: Forward | None) -> Verdict:
    if forward is not None:
        return _say(packet, True, _by(forward), "a port forward leads there", decided=forward)
    if _network_with(snapshot, packet.destination) is None:
        return _say(packet, True, "default", "not volt's traffic")
    reason = "from outside, workloads are reached by port forwards only"
    return _say(packet, False, "default", reason)


def _by_default(snapshot: Snapshot, packet: Packet) -> Verdict:
    source, target = _network_of(snapshot, packet), _network_with(snapshot, packet.destination)
    if target is None:
        if source is not None and source.nat:
            return _say(packet, True, "default", "out of a network with NAT")
        return _say(packet, False, "default", "a network without NAT has no way out")
    if source == target:
        return _say(packet, True, "default", "same network")
    return _say(packet, False, "default", "different networks")


def _by_policy(snapshot: Snapshot, packet: Packet) -> Verdict | None:
    """What policies say; None if they say nothing about this packet."""
    allow: Policy | None = None
    isolates: Policy | None = None
    for policy in in_order(snapshot.policies.values()):
        if not _is_to(snapshot, policy.target, packet):
            continue
        if policy.action == "allow":
            isolates = isolates or policy
        if not _serves(policy, packet) or not _is_from(snapshot, policy.source, packet):
            continue
        if policy.action == "deny":
            reason = f"policy {policy.name} denies it"
            return _say(packet, False, f"policy: {policy.name}", reason, decided=policy)
        allow = allow or policy
    if allow is not None:
        reason = f"policy {allow.name} allows it"
        return _say(packet, True, f"policy: {allow.name}", reason, decided=allow)
    if isolates is not None:
        reason = f"isolated by policy {isolates.name}, and no policy allows it"
        return _say(packet, False, f"policy: {isolates.name}", reason, decided=isolates)
    return None


# ---- matching -----------------------------------------------------------------------------------


def in_order(objects: Iterable[Policy]) -> list[Policy]:
    return sorted(objects, key=lambda each: each.sequence)


def _first_rule(snapshot: Snapshot, packet: Packet, to_host: bool) -> Rule | None:
    matching = (
        rule
        for rule in snapshot.rules.values()
        if (rule.dest.kind == "host") == to_host
        and _serves(rule, packet)
        and (to_host or _is_to(snapshot, rule.dest, packet))
        and _is_from(snapshot, rule.source, packet)
    )
    return min(matching, key=lambda rule: rule.sequence, default=None)


def _serves(each: Rule | Policy, packet: Packet) -> bool:
    return each.protocol in ("any", packet.protocol) and _has(each.ports, packet.port)


def _has(ports: Ports, port: int) -> bool:
    return not ports or any(port in each for each in ports)


def _is_from(snapshot: Snapshot, peer: Peer, packet: Packet) -> bool:
    if peer.kind == "outside":
        return packet.origin == "outside"
    if peer.kind == "range":
        return packet.source in peer.range
    if peer.kind == "workload":
        return packet.origin == "workload" and packet.source in snapshot.addresses_of(peer.name)
    if peer.kind == "network":
        network = _network_of(snapshot, packet)
        return network is not None and network.name == peer.name
    return True


def _is_to(snapshot: Snapshot, peer: Peer, packet: Packet) -> bool:
    if peer.kind == "range":
        return packet.destination in peer.range
    if peer.kind == "workload":
        return packet.destination in snapshot.addresses_of(peer.name)
    network = _network_with(snapshot, packet.destination)
    if peer.kind == "network":
        return network is not None and network.name == peer.name
    return network is not None


def _is_for_host(snapshot: Snapshot, packet: Packet) -> bool:
    if packet.is_local or packet.destination in _LOOPBACK:
        return True
    return _gateway_network(snapshot, packet) is not None


def _is_loopback(packet: Packet) -> bool:
    return packet.destination in _LOOPBACK or packet.source in _LOOPBACK


def _gateway_network(snapshot: Snapshot, packet: Packet) -> Network | None:
    network = _network_with(snapshot, packet.destination)
    return network if network and network.gateway == packet.destination else None


def _network_of(snapshot: Snapshot, packet: Packet) -> Network | None:
    """The network a workload speaks on; None for one that has no such address."""
    if packet.origin != "workload":
        return None
    if packet.bridge_network is not None:
        network = snapshot.networks.get(packet.bridge_network)
        if network and network.port_security and packet.source not in network.subnet:
            return None
        return network
    return _network_with(snapshot, packet.source)


def _network_with(snapshot: Snapshot, address: IPv4Address) -> Network | None:
    for network in snapshot.networks.values():
        if address in network.subnet:
            return network
    return None


# ---- answers ------------------------------------------------------------------------------------


def _foreign_source(packet: Packet, to_host: bool = False) -> Verdict:
    reason = f"{packet.source} is no address of a network"
    return _say(packet, False, "default", reason, to_host=to_host)


def _by(forward: Forward | None) -> str:
    if forward is None:
        return "default"
    return f"forward: {forward.ports} -> {forward.target}:{forward.target_port}"


def _say(
    packet: Packet,
    allowed: bool,
    by: str,
    reason: str,
    to_host: bool = False,
    decided: Rule | Policy | Forward | None = None,
) -> Verdict:
    return Verdict(allowed, by, reason, packet.destination, packet.port, to_host, decided)
