"""Which rules and policies name a network: it cannot be deleted under them."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Refused
from ..model.firewall import Peer
from ..model.snapshot import Snapshot


def check_unnamed(snapshot: Snapshot, network: str) -> None:
    """Raise Refused if a rule or policy names `network`.

    Another network of that name would otherwise inherit what was meant for this one. A rule that
    may still be rolled back counts too.
    """
    user = next(_users(snapshot, Peer(kind="network", name=network)), None)
    if user is not None:
        kind, name = user
        command = {"rule": "firewall", "policy": "policy"}[kind]
        raise Refused(
            f"network {network} is named by {kind} {name}", f"volt net {command} delete {name}"
        )


def _users(snapshot: Snapshot, network: Peer) -> Iterator[tuple[str, str]]:
    returning = (each for waits in snapshot.unconfirmed.values() for each in waits.put)
    for rule in (*snapshot.rules.values(), *returning):
        if network in (rule.source, rule.dest):
            yield "rule", rule.name
    for policy in snapshot.policies.values():
        if network in (policy.source, policy.target):
            yield "policy", policy.name
