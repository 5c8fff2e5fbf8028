"""net.policy.*"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address
from typing import Any, Literal

from ...bus import Bus
from ...errors import Refused, VoltError
from ...events import PolicyCreated, PolicyDeleted
from ...firewall.plane import Firewall
from ...firewall.verdict import Packet, Verdict, decide
from ...kernel.attempt import attempt
from ...kernel.edge import Edge
from ...kernel.nft_listing import Counted
from ...kernel.worker import Worker
from ...model.firewall import Policy
from ...model.ports import show_ports
from ...model.snapshot import Snapshot
from ...registry import Registry
from ...rules.connection import Nowhere, find_ends, packet_of, parse_tested_port
from ...rules.live import SENTENCES, agrees
from ...rules.policy import create_policy, delete_policy
from ..messages import policy as messages
from ..method import Nothing
from . import Cut, Handlers
from .firewall import port_text


class PolicyHandlers:
    """`enforces_within_bridge` tells whether this kernel can hold apart two ports of one bridge."""

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        firewall: Firewall,
        bus: Bus,
        enforces_within_bridge: Callable[[], Awaitable[bool]],
        cut: Cut,
    ) -> None:
        self._registry, self._edge = registry, edge
        self._firewall, self._bus = firewall, bus
        self._enforces, self._cut = enforces_within_bridge, cut
        self._visitor = Worker("volt-attempts")

    def handlers(self) -> Handlers:
        return {
            "net.policy.create": self.create,
            "net.policy.delete": self.delete,
            "net.policy.list": self.list,
            "net.policy.test": self.ask,
        }

    async def create(self, params: messages.CreatePolicy) -> messages.CreatedPolicy:
        enforces = await self._enforces()
        commit = await self._registry.commit(
            lambda snapshot: create_policy(
                snapshot,
                params.name,
                params.source,
                params.target,
                params.action,
                port_text(params.port),
                params.proto,
                enforces,
            )
        )
        await self._cut()
        policy = commit.new.policies[params.name]
        changed = not commit.change.is_empty
        if changed:
            self._bus.publish(PolicyCreated(policy=policy.name))
        count = Counted(0, 0) if changed else (await self._counts(commit.new)).get(policy.name)
        return messages.CreatedPolicy(changed=changed, **_fields(policy_view(policy, count)))

    async def delete(self, params: messages.PolicyName) -> messages.DeletedPolicy:
        await self._registry.commit(lambda snapshot: delete_policy(snapshot, params.name))
        await self._cut()
        self._bus.publish(PolicyDeleted(policy=params.name))
        return messages.DeletedPolicy(name=params.name)

    async def list(self, params: Nothing) -> list[messages.Policy]:
        snapshot = self._registry.snapshot
        counts = await self._counts(snapshot)
        return [
            policy_view(each, counts.get(each.name))
            for each in sorted(snapshot.policies.values(), key=lambda one: one.sequence)
        ]

    async def ask(self, params: messages.AskPolicy) -> messages.PolicyAnswer:
        snapshot = self._registry.snapshot
        port = parse_tested_port(port_text(params.port), params.proto)
        here = self._host_addresses()
        ends = find_ends(snapshot, params.source, params.target, here)
        if isinstance(ends, Nowhere):
            return _answer(params, port, "DENIED", "default", ends.reason)
        packet = packet_of(ends, params.proto, port, here)
        verdict = decide(snapshot, packet)
        tried = await self._try(snapshot, params, packet, verdict) if params.live else None
        return _answer(
            params,
            port,
            "ALLOWED" if verdict.allowed else "DENIED",
            verdict.by,
            verdict.reason,
            source_address=str(ends.source) if ends.origin != "host" else None,
            address=str(ends.target),
            live=tried,
        )

    async def _try(
        self, snapshot: Snapshot, params: messages.AskPolicy, packet: Packet, verdict: Verdict
    ) -> messages.Attempt:
        namespace = _namespace(snapshot, params.source)
        outcome = await attempt(
            self._visitor, namespace, params.proto, packet.destination, packet.port
        )
        is_up = verdict.to_host or any(
            verdict.destination in snapshot.addresses_of(name) for name in snapshot.instances
        )
        return messages.Attempt(
            outcome=SENTENCES[outcome], agrees=agrees(verdict, params.proto, outcome, is_up)
        )

    def _host_addresses(self) -> tuple[IPv4Address, ...]:
        """Of the host, without gateways and loopback; the oldest interface first."""
        gateways = {each.gateway for each in self._registry.snapshot.networks.values()}
        found = [
            interface.ip
            for _, interfaces in sorted(self._edge.mirror.addresses.items())
            for interface in sorted(interfaces)
        ]
        return tuple(each for each in found if each not in gateways and not each.is_loopback)

    async def _counts(self, snapshot: Snapshot) -> Mapping[str, Counted]:
        """By policy name; none while the tables are gone."""
        try:
            return (await self._firewall.hits(snapshot)).policies
        except VoltError:
            return {}


def _namespace(snapshot: Snapshot, source: str) -> str | None:
    """Where a real attempt of `source` starts; None: in the host. Raises Refused."""
    if source == "host":
        return None
    instance = snapshot.instances.get(source)
    if instance is None or instance.namespace is None:
        why = "is a virtual machine" if instance else "does not run on this host"
        if source == "outside":
            why = "is not on this host"
        raise Refused(
            f"{source} {why}: nothing can be tried from there",
            "leave out --live, or try it from the host or a running container",
        )
    return instance.namespace


def _answer(
    params: messages.AskPolicy,
    port: int | None,
    verdict: Literal["ALLOWED", "DENIED"],
    by: str,
    reason: str,
    **more: Any,
) -> messages.PolicyAnswer:
    return messages.PolicyAnswer(
        source=params.source,
        target=params.target,
        port=port,
        proto=params.proto,
        verdict=verdict,
        by=by,
        reason=reason,
        **more,
    )


def policy_view(policy: Policy, count: Counted | None) -> messages.Policy:
    return messages.Policy(
        name=policy.name,
        source=str(policy.source),
        target=str(policy.target),
        port=show_ports(policy.ports),
        proto=policy.protocol,
        action=policy.action,
        packets=count.packets if count else None,
    )


def _fields(view: messages.Policy) -> dict[str, Any]:
    return {name: getattr(view, name) for name in messages.Policy.__struct_fields__}
