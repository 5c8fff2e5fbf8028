"""A second reading of the rules of the game: what should become of a probe, in plain words.

It shares nothing with the firewall's code but the values of the model, looks everything up by
walking lists, and knows no sets, chains or addresses compiled in advance. So a mistake that the
compiled ruleset and `policy test` have in common does not go unnoticed.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct
from msgspec.structs import replace

from tests.firewall.property.packets import Probe
from tests.firewall.property.world import GATEWAYS, HOST, LOOPBACK, NETWORKS, OUTSIDE, PLACES
from volt_agent.firewall.verdict import Origin, Packet, decide
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.ports import Ports
from volt_agent.model.snapshot import Snapshot

_LOCAL = (HOST, LOOPBACK, *GATEWAYS.values())


class Reading(Struct, frozen=True):
    """Where a probe arrives (None: nowhere), and what decided."""

    arrives_at: str | None
    by: str


def read(state: Snapshot, probe: Probe) -> Reading:
    """What DESIGN's "Networks and default policy" says of a new connection."""
    forward = _forward_of(state, probe)
    if forward is not None:
        probe = _translated(state, probe, forward)
    if probe.target in _LOCAL:
        allowed, by = _to_host(state, probe)
        return Reading("host" if allowed else None, by)
    allowed, by = _onwards(state, probe, forward)
    return Reading(_owner(probe.target) if allowed else None, by)


def model(state: Snapshot, probe: Probe) -> Reading:
    """What the model behind `policy test` says, in the words of this test."""
    origin: Origin = probe.source if probe.source in ("host", "outside") else "workload"  # type: ignore[assignment]
    said = decide(
        state,
        Packet(
            origin=origin,
            source=probe.by,
            destination=probe.target,
            protocol=probe.protocol,
            port=probe.port,
            is_local=probe.target in _LOCAL,
        ),
    )
    if not said.allowed:
        return Reading(None, f"{said.by}, {said.reason}")
    return Reading("host" if said.to_host else _owner(said.destination), said.by)


def _forward_of(state: Snapshot, probe: Probe) -> Forward | None:
    if probe.target not in _LOCAL:
        return None
    for each in state.forwards.values():
        if (
            each.protocol == probe.protocol
            and probe.port in each.ports
            and each.host_ip in (None, probe.target)
            and state.addresses_of(each.target)
        ):
            return each
    return None


def _translated(state: Snapshot, probe: Probe, forward: Forward) -> Probe:
    target = state.connections_of[forward.target][0].address
    port = forward.target_port + probe.port - forward.ports.first
    return replace(probe, target=target, port=port)


def _to_host(state: Snapshot, probe: Probe) -> tuple[bool, str]:
    if probe.source == "host":
        return True, "the host itself"
    own_gateway = _is_workload(probe) and probe.target == GATEWAYS[_network_of(probe.by)]
    if probe.source == "outside" and probe.target in GATEWAYS.values():
        return False, "gateway from outside"
    rule = _first_rule(state, probe, to_host=True)
    if rule is not None:
        return rule.action == "accept", rule.name
    if _is_workload(probe):
        service = (probe.protocol, probe.port) in (("tcp", 53), ("udp", 53), ("icmp", 0))
        return own_gateway and service, "default"
    if state.host.inbound == "allow":
        return True, "inbound allow"
    if probe.protocol == "icmp":
        return state.host.ping, "ping"
    return any(
        p.protocol == probe.protocol and p.first <= probe.port <= p.last for p in state.host.ports
    ), "host_allow"


def _onwards(state: Snapshot, probe: Probe, forward: Forward | None) -> tuple[bool, str]:
    """To a workload, or from one to the outside."""
    if probe.source == "host":
        return True, "from the host"
    rule = _first_rule(state, probe, to_host=False)
    if rule is not None and rule.action != "accept":
        return False, rule.name
    if _is_workload(probe) and probe.target != OUTSIDE:
        verdict = _by_policy(state, probe)
        if verdict is not None:
            return verdict
    if rule is not None:
        return True, rule.name
    if probe.source == "outside":
        return forward is not None, "from outside"
    source = _network_of(probe.by)
    if probe.target == OUTSIDE:
        return state.networks[source].nat, "out"
    return source == _network_of(probe.target), "same network or not"


def _first_rule(state: Snapshot, probe: Probe, to_host: bool) -> Rule | None:
    for rule in sorted(state.rules.values(), key=lambda each: each.sequence):
        if (
            (rule.dest.kind == "host") == to_host
            and _is_from(state, rule.source, probe)
            and (to_host or _is_to(state, rule.dest, probe.target))
            and _is_service(rule, probe)
        ):
            return rule
    return None


def _by_policy(state: Snapshot, probe: Probe) -> tuple[bool, str] | None:
    there = [p for p in state.policies.values() if _is_to(state, p.target, probe.target)]
    matching = [p for p in there if _is_from(state, p.source, probe) and _is_service(p, probe)]
    for action in ("deny", "allow"):
        for policy in matching:
            if policy.action == action:
                return action == "allow", policy.name
    if any(policy.action == "allow" for policy in there):
        return False, "isolated"
    return None


def _is_from(state: Snapshot, peer: Peer, probe: Probe) -> bool:
    if peer.kind == "outside":
        return probe.source == "outside"
    return peer.kind == "any" or _holds(state, peer, probe.by)


def _is_to(state: Snapshot, peer: Peer, target: IPv4Address) -> bool:
    if peer.kind == "any":
        return target != OUTSIDE
    return _holds(state, peer, target)


def _holds(state: Snapshot, peer: Peer, address: IPv4Address) -> bool:
    if peer.kind == "range":
        return address in peer.range
    if peer.kind == "network":
        return address in state.networks[peer.name].subnet
    return address in state.addresses_of(peer.name)


def _is_service(each: Rule | Policy, probe: Probe) -> bool:
    return each.protocol in ("any", probe.protocol) and _is_among(each.ports, probe.port)


def _is_among(ports: Ports, port: int) -> bool:
    return not ports or any(port in each for each in ports)


def _is_workload(probe: Probe) -> bool:
    return probe.source not in ("host", "outside")


def _network_of(address: IPv4Address) -> str:
    return next(net.name for net in NETWORKS if address in net.subnet)


def _owner(address: IPv4Address) -> str:
    if address == OUTSIDE:
        return "outside"
    return next(place.workload for place in PLACES if place.address == address)
