"""Network policies: creating and deleting."""

from __future__ import annotations

from msgspec.structs import replace

from ..errors import Invalid, Refused
from ..model.firewall import Peer, Policy, PolicyAction
from ..model.lookup import find
from ..model.names import check_name
from ..model.ports import Protocol
from ..model.snapshot import Change, Snapshot
from .firewall import next_sequence, parse_service
from .peers import named_end
from .same import check_same

_FIELDS = {
    "source": "from",
    "target": "to",
    "ports": "port",
    "protocol": "proto",
    "action": "action",
}


def create_policy(
    snapshot: Snapshot,
    name: str,
    source: str,
    target: str,
    action: PolicyAction,
    ports: str | None = None,
    protocol: Protocol | None = None,
    enforces_within_bridge: bool = True,
) -> Change:
    """A policy between workloads or networks. `protocol` None: tcp if there are ports, else any.

    `enforces_within_bridge`: whether this kernel hands frames between two ports of one bridge to
    volt's chains. Where it does not, a policy that relies on it is refused.
    """
    check_name("policy", name)
    protocol, parsed = parse_service(ports, protocol)
    policy = Policy(
        name=name,
        sequence=next_sequence(snapshot.policies.values()),
        source=_end(snapshot, source),
        target=_end(snapshot, target),
        ports=parsed,
        protocol=protocol,
        action=action,
    )
    existing = snapshot.policies.get(name)
    if existing is not None:
        check_same(f"policy {name}", existing, replace(policy, sequence=existing.sequence), _FIELDS)
        return Change()
    if not enforces_within_bridge and needs_bridge_enforcement(snapshot, policy):
        raise Refused(
            f"this kernel cannot enforce policy {name}: traffic between two ports of one bridge "
            "passes it by",
            "load the module br_netfilter and restart the agent: modprobe br_netfilter",
        )
    return Change(put=(policy,))


def delete_policy(snapshot: Snapshot, name: str) -> Change:
    """Without the policy called `name`. Raises NotFound."""
    return Change(delete=(find("policy", name, snapshot.policies),))


def needs_bridge_enforcement(snapshot: Snapshot, policy: Policy) -> bool:
    """Whether a policy means traffic that stays on one bridge.

    An allow policy isolates its target from the neighbours on its own bridge, too.
    """
    if policy.action == "allow":
        return True
    return bool(_networks(snapshot, policy.source) & _networks(snapshot, policy.target))


def _networks(snapshot: Snapshot, end: Peer) -> set[str]:
    if end.kind == "network":
        return {end.name}
    connected = snapshot.connections_of.get(end.name, ())
    seen = snapshot.ports_of.get(end.name, ())
    return {each.network for each in connected} | {each.network for each in seen}


def _end(snapshot: Snapshot, text: str) -> Peer:
    if text in ("host", "outside", "any") or any(sign in text for sign in "./:"):
        raise Invalid(
            f"a policy is between workloads or networks, not {text[:70]}",
            "volt net firewall add takes addresses, host, outside and any",
        )
    return named_end(snapshot, text)
