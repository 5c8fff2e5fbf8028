"""Which tracked connections a change may have turned from allowed into denied.

Two steps: `revoked` names, from the change alone, the connections that it can concern; `Survivors`
asks the model about each of these and spares all but those that were allowed before the change and
are not now, or lead elsewhere. So an unrelated connection is never cut, and the model is asked
about few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from ipaddress import IPv4Address
from socket import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP

from ..kernel.conntrack import Tracked
from ..kernel.edge import Flow
from ..model.firewall import Forward, Peer, Policy, Rule
from ..model.network import Connection
from ..model.ports import Protocol
from ..model.snapshot import Change, Object, Snapshot
from ..model.workload import Port
from .judge import Judge
from .packet import Origin, Packet, Service
from .quote import PROTOCOL_NUMBERS

_NAMES: dict[int, Service] = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_ICMP: "icmp"}

# A forward of more ports than this names all connections of its protocol.
_PORTS_MAX = 64

# How many kinds of connections a judgement is remembered for: some 4 MB.
_KNOWN_MAX = 4096


def revoked(old: Snapshot, new: Snapshot, change: Change) -> list[Flow]:
    """The connections to look at after `change`, which led from `old` to `new`; [] for most."""
    flows: dict[Flow, None] = {}
    for each in change.touched():
        for flow in _concerned(each, old, new):
            flows[flow] = None
    return list(flows)


class Survivors:
    """Whether a tracked connection may stay after the step from `old` to `new`.

    `local` are the addresses of the host. What was not allowed before, and lives all the same, is
    none of this change: a connection that is older than the ruleset, or one by an open interface.
    For one thread at a time.
    """

    def __init__(self, old: Snapshot, new: Snapshot, local: Collection[IPv4Address]) -> None:
        self._after = Judge(new)
        self._before = Judge(old, self._after)
        self._local = frozenset(local) | {each.gateway for each in new.networks.values()}
        self._judged = lru_cache(maxsize=_KNOWN_MAX)(self._judge)

    def spare(self, tracked: Tracked) -> bool:
        """It would be let in today, and be translated to where it was."""
        # Without its source port: a thousand streams between two workloads differ in that only.
        return self._judged(
            Tracked(
                tracked.source,
                tracked.destination,
                tracked.protocol,
                tracked.destination_port,
                tracked.reply_source,
                tracked.reply_port,
            )
        )

    def _judge(self, tracked: Tracked) -> bool:
        packet = self._packet(tracked)
        verdict = self._after.decide(packet)
        is_translated = tracked.reply_source != tracked.destination
        if verdict.destination != tracked.reply_source:
            # Not volt's translation: one of somebody else's forwards.
            return verdict.allowed and is_translated and not self._is_ours(tracked.reply_source)
        if tracked.reply_port is not None and verdict.port != tracked.reply_port:
            return False
        return verdict.allowed or not self._before.decide(packet).allowed

    def _packet(self, tracked: Tracked) -> Packet:
        return Packet(
            origin=self._origin(tracked.source),
            source=tracked.source,
            destination=tracked.destination,
            protocol=_NAMES.get(tracked.protocol, "other"),
            port=tracked.destination_port or 0,
            is_local=tracked.destination in self._local,
        )

    def _origin(self, source: IPv4Address) -> Origin:
        if source in self._local or source.is_loopback:
            return "host"
        return "workload" if self._is_ours(source) else "outside"

    def _is_ours(self, address: IPv4Address) -> bool:
        return self._after.network_with(address) is not None


class Uninvited:
    """Whether a connection may stay that came about while the ruleset was not in force.

    Asked about those of workloads to workloads and to the host only: with these there is none that
    is older than volt. What the rules of others have translated is judged by where it went.
    """

    def __init__(self, snapshot: Snapshot, local: Collection[IPv4Address]) -> None:
        self._judge = Judge(snapshot)
        self._local = frozenset(local) | {each.gateway for each in snapshot.networks.values()}

    def spare(self, tracked: Tracked) -> bool:
        """It would be let in today, or is not asked about."""
        is_local = tracked.reply_source in self._local
        if tracked.source in self._local or not self._is_ours(tracked.source):
            return True
        if not is_local and not self._is_ours(tracked.reply_source):
            return True
        packet = Packet(
            origin="workload",
            source=tracked.source,
            destination=tracked.reply_source,
            protocol=_NAMES.get(tracked.protocol, "other"),
            port=tracked.reply_port or 0,
            is_local=is_local,
        )
        return self._judge.decide(packet).allowed

    def _is_ours(self, address: IPv4Address) -> bool:
        return self._judge.network_with(address) is not None


def _concerned(each: Object, old: Snapshot, new: Snapshot) -> Iterator[Flow]:
    before, after = old.find(each), new.find(each)
    if before == after:
        return
    if isinstance(before, Rule) and before.action == "accept":
        yield from _flows_of_rule(before, old)
    if isinstance(after, Rule) and (after.action != "accept" or before is not None):
        yield from _flows_of_rule(after, new)
    if isinstance(before, Policy) and (before.action == "allow" or after is not None):
        yield from _flows_to(before.target, before.protocol, old)
    if isinstance(after, Policy):
        # An allow policy isolates: that concerns whatever leads to its target.
        protocol = after.protocol if after.action == "deny" else "any"
        yield from _flows_to(after.target, protocol, new)
    for forward in (before, after):
        if isinstance(forward, Forward):
            yield from _flows_of_forward(forward)
    if isinstance(each, Connection | Port):
        yield from _flows_of_place(before, after)
        yield from _flows_of_forwards_to(each.workload, old, new)


def _flows_of_rule(rule: Rule, snapshot: Snapshot) -> Iterator[Flow]:
    if rule.source.kind == "workload":
        for address in snapshot.addresses_of(rule.source.name):
            yield Flow(source=address, protocol=PROTOCOL_NUMBERS.get(rule.protocol))
    else:
        yield from _flows_to(rule.dest, rule.protocol, snapshot)


def _flows_to(target: Peer, protocol: Protocol, snapshot: Snapshot) -> Iterator[Flow]:
    number = PROTOCOL_NUMBERS.get(protocol)
    if target.kind == "workload":
        for address in snapshot.addresses_of(target.name):
            yield Flow(either=address, protocol=number)
    elif target.kind == "range" and target.range.prefixlen == 32:
        yield Flow(either=target.range.network_address, protocol=number)
    else:
        yield Flow(protocol=number)


def _flows_of_forward(forward: Forward) -> Iterator[Flow]:
    number = PROTOCOL_NUMBERS[forward.protocol]
    if forward.ports.count > _PORTS_MAX:
        yield Flow(protocol=number)
        return
    for port in range(forward.ports.first, forward.ports.last + 1):
        yield Flow(destination=forward.host_ip, protocol=number, destination_port=port)


def _flows_of_place(before: Object | None, after: Object | None) -> Iterator[Flow]:
    """An address that its workload gave up: nobody may inherit its connections."""
    was = before.address if isinstance(before, Connection | Port) else None
    now = after.address if isinstance(after, Connection | Port) else None
    if was is not None and was != now:
        yield Flow(either=was)


def _flows_of_forwards_to(workload: str, old: Snapshot, new: Snapshot) -> Iterator[Flow]:
    first = old.addresses_of(workload)[:1]
    if first == new.addresses_of(workload)[:1]:
        return
    for forward in new.forwards.values():
        if forward.target == workload:
            yield from _flows_of_forward(forward)
