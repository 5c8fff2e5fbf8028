"""What becomes of a new connection: the model behind `policy test`.

It reads the objects of the snapshot, not the compiled ruleset, in the order of DESIGN's decision: a
firewall drop is final, then a policy deny, a policy allow, isolation, a firewall accept, and the
defaults. Established connections and replies follow their first packet and are no matter of it.
"""

from __future__ import annotations

from msgspec.structs import replace

from ..model.firewall import Forward, Policy, Rule
from ..model.snapshot import Snapshot
from .facts import Facts, first_rule, forward_of, is_from, is_to, serves
from .packet import Origin, Packet, Service, Verdict

__all__ = ["Origin", "Packet", "Service", "Verdict", "decide", "decide_by"]

_DNS = 53
_DHCP = 67


def decide(snapshot: Snapshot, packet: Packet) -> Verdict:
    """What happens to `packet`. Complete: there is an answer for every packet."""
    return decide_by(Facts(snapshot), packet)


def decide_by(facts: Facts, packet: Packet) -> Verdict:
    """As `decide`."""
    if packet.origin == "workload" and _touches_loopback(packet):
        return _say(packet, False, "default", "workloads have no way to 127.0.0.0/8")
    forward = forward_of(facts, packet)
    if forward is not None:
        packet = _translated(facts, packet, forward)
    if facts.is_for_host(packet):
        return _to_host(facts, packet)
    return _onwards(facts, packet, forward)


def _touches_loopback(packet: Packet) -> bool:
    return packet.destination.is_loopback or packet.source.is_loopback


def _translated(facts: Facts, packet: Packet, forward: Forward) -> Packet:
    """`packet` behind `forward`: to the target's address on its first network."""
    return replace(
        packet,
        destination=facts.snapshot.addresses_of(forward.target)[0],
        port=forward.target_port + packet.port - forward.ports.first,
        is_local=False,
    )


# ---- to the host --------------------------------------------------------------------------------


def _to_host(facts: Facts, packet: Packet) -> Verdict:
    if packet.origin == "host":
        return _say(packet, True, "default", "the host reaches itself", to_host=True)
    if packet.origin == "workload" and facts.network_of(packet) is None:
        return _foreign_source(packet, to_host=True)
    if packet.origin == "outside" and facts.gateway_network(packet) is not None:
        reason = "gateway addresses are closed to the outside"
        return _say(packet, False, "default", reason, to_host=True)
    rule = first_rule(facts, packet, to_host=True)
    if rule is not None:
        reason = f"rule {rule.name} says {rule.action}"
        accepts = rule.action == "accept"
        return _say(packet, accepts, f"rule: {rule.name}", reason, to_host=True, decided=rule)
    if packet.origin == "workload":
        return _workload_to_host(facts, packet)
    return _outside_to_host(facts, packet)


def _workload_to_host(facts: Facts, packet: Packet) -> Verdict:
    is_own = facts.gateway_network(packet) == facts.network_of(packet)
    is_dns = packet.protocol in ("tcp", "udp") and packet.port == _DNS
    if is_own and (packet.protocol == "icmp" or is_dns):
        return _say(packet, True, "default", "DNS and ping of the own gateway", to_host=True)
    if is_own and (packet.protocol, packet.port) == ("udp", _DHCP):
        return _say(packet, True, "default", "DHCP", to_host=True)
    return _say(packet, False, "default", "workloads do not reach the host", to_host=True)


def _outside_to_host(facts: Facts, packet: Packet) -> Verdict:
    host = facts.snapshot.host
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


def _onwards(facts: Facts, packet: Packet, forward: Forward | None) -> Verdict:
    if packet.origin == "host":
        return _say(packet, True, _by(forward), "the host reaches every workload", decided=forward)
    if packet.origin == "workload" and facts.network_of(packet) is None:
        return _foreign_source(packet)
    rule = first_rule(facts, packet, to_host=False)
    if rule is not None and rule.action != "accept":
        reason = f"rule {rule.name} says {rule.action}"
        return _say(packet, False, f"rule: {rule.name}", reason, decided=rule)
    if packet.origin == "workload":
        by_policy = _by_policy(facts, packet)
        if by_policy is not None:
            return by_policy
    if rule is not None:
        reason = f"rule {rule.name} says accept"
        return _say(packet, True, f"rule: {rule.name}", reason, decided=rule)
    if packet.origin == "outside":
        return _from_outside(facts, packet, forward)
    return _by_default(facts, packet)


def _from_outside(facts: Facts, packet: Packet, forward: Forward | None) -> Verdict:
    if forward is not None:
        return _say(packet, True, _by(forward), "a port forward leads there", decided=forward)
    if facts.network_with(packet.destination) is None:
        return _say(packet, True, "default", "not volt's traffic")
    reason = "from outside, workloads are reached by port forwards only"
    return _say(packet, False, "default", reason)


def _by_default(facts: Facts, packet: Packet) -> Verdict:
    source, target = facts.network_of(packet), facts.network_with(packet.destination)
    if target is None:
        if source is not None and source.nat:
            return _say(packet, True, "default", "out of a network with NAT")
        return _say(packet, False, "default", "a network without NAT has no way out")
    if source == target:
        return _say(packet, True, "default", "same network")
    return _say(packet, False, "default", "different networks")


def _by_policy(facts: Facts, packet: Packet) -> Verdict | None:
    """What policies say; None if they say nothing about this packet."""
    allow: Policy | None = None
    isolates: Policy | None = None
    for policy in sorted(facts.policies_about(packet), key=lambda each: each.sequence):
        if not is_to(facts, policy.target, packet):
            continue
        if policy.action == "allow":
            isolates = isolates or policy
        if not serves(policy, packet) or not is_from(facts, policy.source, packet):
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
