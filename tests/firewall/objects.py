"""Rules, policies and forwards in few words, for tests."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network

from volt_agent.model.firewall import Forward, Peer, Policy, PolicyAction, Rule, RuleAction
from volt_agent.model.ports import Ports, Protocol, Transport, parse_ports, parse_range

_NETWORKS = ("default", "backend", "internal")


def peer(text: str) -> Peer:
    """`any`, `host`, `outside`, an address or subnet, a network of the lab, a workload."""
    if text in ("any", "host", "outside"):
        return Peer(text)  # type: ignore[arg-type]
    if text in _NETWORKS:
        return Peer("network", text)
    try:
        return Peer("range", str(IPv4Network(text)))
    except (AddressValueError, ValueError):
        return Peer("workload", text)


def rule(
    name: str, sequence: int, action: RuleAction, source: str, dest: str, service: str = "any"
) -> Rule:
    """`service`: "any", "icmp", "tcp", "tcp 80,443"."""
    protocol, ports = _service(service)
    return Rule(name, sequence, peer(source), peer(dest), ports, protocol, action)


def policy(
    name: str, action: PolicyAction, source: str, target: str, service: str = "any"
) -> Policy:
    protocol, ports = _service(service)
    return Policy(name, 1, peer(source), peer(target), ports, protocol, action)


def forward(ports: str, target: str, target_port: int, host_ip: str | None = None) -> Forward:
    """`ports`: "tcp 80" or "udp 8000-8010"."""
    protocol: Transport = "udp" if ports.startswith("udp") else "tcp"
    address = IPv4Address(host_ip) if host_ip else None
    return Forward(protocol, parse_range(ports.split()[1]), target, target_port, address)


def _service(text: str) -> tuple[Protocol, Ports]:
    protocol, _space, ports = text.partition(" ")
    return protocol, parse_ports(ports) if ports else ()  # type: ignore[return-value]
