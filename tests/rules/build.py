"""A host with two networks and workloads on them, to decide on."""

from __future__ import annotations

from tests.networks.build import apply, running, with_connection, with_network
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.rules.firewall import add_rule
from volt_agent.rules.forward import add_forward
from volt_agent.rules.policy import create_policy


def site() -> Snapshot:
    """web and db on backend, api on both networks, idle on none, later never seen; only web runs.

    backend is 10.30.0.0/24, frontend 10.40.0.0/24.
    """
    snapshot = with_network(Snapshot(), "frontend", "10.40.0.0/24")
    snapshot = with_network(snapshot, "backend", "10.30.0.0/24")
    for network, name, address in (
        ("backend", "web", "10.30.0.10"),
        ("backend", "db", "10.30.0.20"),
        ("frontend", "api", "10.40.0.30"),
        ("backend", "api", "10.30.0.30"),
        ("backend", "later", "10.30.0.40"),
    ):
        snapshot = with_connection(snapshot, network, name, address)
    return running(running(snapshot, "web"), "idle")


def with_rule(snapshot: Snapshot, name: str, action: str = "accept", **how: str) -> Snapshot:
    wanted = {"source": "any", "dest": "web", "ports": "80"} | how
    change: Change = add_rule(snapshot, name, action=action, **wanted)  # type: ignore[arg-type]
    return apply(snapshot, change)


def with_policy(
    snapshot: Snapshot, name: str, source: str = "web", target: str = "db", ports: str = "80"
) -> Snapshot:
    return apply(snapshot, create_policy(snapshot, name, source, target, "allow", ports))


def with_forward(
    snapshot: Snapshot, host_port: str, host_ip: str | None = None, protocol: str = "tcp"
) -> Snapshot:
    how = (host_port, "web", "80", protocol, host_ip, ())
    return apply(snapshot, add_forward(snapshot, *how))  # type: ignore[arg-type]
