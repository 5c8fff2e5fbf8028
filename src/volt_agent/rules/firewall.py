"""Firewall rules: adding, deleting, flushing."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Literal

from msgspec.structs import replace

from ..errors import Invalid, Refused
from ..model.firewall import Peer, Policy, Rule, RuleAction
from ..model.lookup import find
from ..model.names import check_name
from ..model.ports import Ports, Protocol, parse_ports
from ..model.route import Route
from ..model.snapshot import Change, Snapshot
from .peers import parse_end
from .same import check_same

_SEQUENCE = attrgetter("sequence")

Chain = Literal["volt-input", "volt-forward"]

_FIELDS = {
    "source": "source",
    "dest": "dest",
    "ports": "ports",
    "protocol": "proto",
    "action": "action",
}


def add_rule(
    snapshot: Snapshot,
    name: str,
    source: str,
    dest: str,
    action: RuleAction,
    ports: str | None = None,
    protocol: Protocol | None = None,
) -> Change:
    """A rule behind all others. `protocol` None: tcp if there are ports, else any."""
    check_name("rule", name)
    protocol, parsed = parse_service(ports, protocol)
    rule = Rule(
        name=name,
        sequence=next_sequence(snapshot.rules.values()),
        source=_source(snapshot, source),
        dest=_dest(snapshot, dest),
        ports=parsed,
        protocol=protocol,
        action=action,
    )
    existing = snapshot.rules.get(name)
    if existing is None:
        return Change(put=(rule,))
    check_same(f"rule {name}", existing, replace(rule, sequence=existing.sequence), _FIELDS)
    return Change()


def delete_rule(snapshot: Snapshot, name: str) -> Change:
    """Without the rule called `name`. Raises NotFound."""
    return Change(delete=(find("rule", name, snapshot.rules),))


def flush_rules(snapshot: Snapshot) -> Change:
    """Without any rule; what is built in stays."""
    return Change(delete=tuple(snapshot.rules.values()))


def chain_of(rule: Rule) -> Chain:
    """Where a rule works: on traffic to the host, or on traffic through it."""
    return "volt-input" if rule.dest.kind == "host" else "volt-forward"


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """In the order in which they are asked."""
    return sorted(rules, key=_SEQUENCE)


def next_sequence(objects: Iterable[Rule | Policy | Route]) -> int:
    """One more than the highest. What is rolled back fits into the gaps that deleting leaves."""
    return 1 + max(map(_SEQUENCE, objects), default=0)


def parse_service(ports: str | None, protocol: Protocol | None) -> tuple[Protocol, Ports]:
    """Protocol and ports that go together. Raises Invalid."""
    parsed = parse_ports(ports) if ports is not None else ()
    if protocol is None:
        return ("tcp" if parsed else "any"), parsed
    if parsed and protocol == "icmp":
        raise Invalid("icmp has no ports", "leave out --port, or use --proto tcp or udp")
    if parsed and protocol == "any":
        raise Invalid("ports need a protocol that has ports", "use --proto tcp or --proto udp")
    return protocol, parsed


def _source(snapshot: Snapshot, text: str) -> Peer:
    if text == "host":
        raise Refused(
            "the host cannot be the source of a rule: it may always reach its workloads, since "
            "ingress, health checks and port forwards from 127.0.0.1 come from there",
            "to hold back programs of the host, use the host's own firewall (an output chain)",
        )
    return parse_end(snapshot, text, ("any", "outside"))


def _dest(snapshot: Snapshot, text: str) -> Peer:
    if text == "outside":
        raise Invalid(
            "outside cannot be the destination of a rule",
            "name a subnet: 0.0.0.0/0 is every address, outside or of a workload",
        )
    dest = parse_end(snapshot, text, ("any", "host"))
    _check_no_gateway(snapshot, dest)
    return dest


def _check_no_gateway(snapshot: Snapshot, dest: Peer) -> None:
    """A rule for a gateway's address would be asked about forwarded traffic, and never match."""
    if dest.kind != "range" or dest.range.prefixlen != 32:
        return
    address = dest.range.network_address
    for network in snapshot.networks.values():
        if network.gateway == address:
            raise Refused(
                f"{address} is the gateway of {network.name}, an address of the host",
                "use --dest host",
            )
