"""What the host itself lets in: the configuration resolved with what the running host has.

Pure: who listens is read by `kernel.host`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .config import FirewallSection
from .kernel.host import Listener
from .model.host import HostPolicy, HostPort

# The DHCP clients of the host: what IP itself needs stays open (see `firewall`).
_ALWAYS_OPEN = (HostPort("udp", 68, 68), HostPort("udp", 546, 546))


def host_policy(
    section: FirewallSection,
    sshd_ports: Iterable[int],
    settling: bool,
    ingress_ports: Iterable[int] = (),
) -> HostPolicy:
    """`network.firewall` with `ssh` turned into the ports that sshd listens on, and with those at
    which the ingress listens."""
    allow = section.host_allow
    ssh = [HostPort("tcp", port, port) for port in sshd_ports] if allow.ssh else []
    ingress = [HostPort("tcp", port, port) for port in ingress_ports]
    return HostPolicy(
        inbound=section.host_inbound,
        ports=tuple(sorted({*allow.ports, *ssh, *ingress})),
        interfaces=tuple(sorted(set(allow.interfaces))),
        ping=allow.ping,
        settling=settling and section.host_inbound == "deny",
    )


def closed_listeners(
    policy: HostPolicy, listeners: Iterable[Listener], gateways: Collection[str]
) -> list[Listener]:
    """The listeners that outside cannot reach under `policy`, each once, sorted by port.

    Those on `gateways` are volt's own: they are there for workloads, never for the outside.
    """
    if policy.inbound == "allow":
        return []
    open_ports = (*policy.ports, *_ALWAYS_OPEN)
    closed = [
        each
        for each in listeners
        if each.address not in gateways
        and not any(
            each.protocol == one.protocol and one.first <= each.port <= one.last
            for one in open_ports
        )
    ]
    return sorted(set(closed), key=lambda each: (each.port, each.protocol, each.address))
