"""Who names a network or a workload: it cannot be deleted or forgotten under them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..errors import Refused
from ..model.firewall import Peer
from ..model.snapshot import Snapshot


def check_unnamed(snapshot: Snapshot, kind: Literal["network", "workload"], name: str) -> None:
    """Raise Refused if a rule, policy or forward names the network or workload `name`.

    Another one of that name would otherwise inherit what was meant for this one. A rule that may
    still be rolled back counts too.
    """
    user = next(_users(snapshot, Peer(kind=kind, name=name)), None)
    if user is not None:
        what, command = user
        raise Refused(f"{kind} {name} is named by {what}", f"volt net {command}")


def _users(snapshot: Snapshot, peer: Peer) -> Iterator[tuple[str, str]]:
    """In words, each with the command that deletes it."""
    returning = (each for waits in snapshot.unconfirmed.values() for each in waits.put)
    for rule in (*snapshot.rules.values(), *returning):
        if peer in (rule.source, rule.dest):
            yield f"rule {rule.name}", f"firewall delete {rule.name}"
    for policy in snapshot.policies.values():
        if peer in (policy.source, policy.target):
            yield f"policy {policy.name}", f"policy delete {policy.name}"
    for forward in snapshot.forwards.values():
        if peer == Peer(kind="workload", name=forward.target):
            address = f" --host-ip {forward.host_ip}" if forward.host_ip is not None else ""
            which = f"--host-port {forward.ports} --proto {forward.protocol}{address}"
            yield f"the forward of port {forward.ports}", f"port delete {which}"
