"""net.policy.*"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...bus import Bus
from ...events import PolicyCreated, PolicyDeleted
from ...kernel.nft_listing import Counted
from ...model.firewall import Policy
from ...model.ports import show_ports
from ...registry import Registry
from ...rules.policy import create_policy, delete_policy
from ..messages import policy as messages
from ..method import Nothing
from . import Handlers
from .firewall import port_text


class PolicyHandlers:
    """`enforces_within_bridge` tells whether this kernel can hold apart two ports of one bridge."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        enforces_within_bridge: Callable[[], bool],
    ) -> None:
        self._registry, self._bus = registry, bus
        self._enforces = enforces_within_bridge

    def handlers(self) -> Handlers:
        return {
            "net.policy.create": self.create,
            "net.policy.delete": self.delete,
            "net.policy.list": self.list,
        }

    async def create(self, params: messages.CreatePolicy) -> messages.CreatedPolicy:
        commit = await self._registry.commit(
            lambda snapshot: create_policy(
                snapshot,
                params.name,
                params.source,
                params.target,
                params.action,
                port_text(params.port),
                params.proto,
                self._enforces(),
            )
        )
        policy = commit.new.policies[params.name]
        changed = not commit.change.is_empty
        if changed:
            self._bus.publish(PolicyCreated(policy=policy.name))
        count = Counted(0, 0) if changed else (await self._counts()).get(policy.name)
        return messages.CreatedPolicy(changed=changed, **_fields(_policy_view(policy, count)))

    async def delete(self, params: messages.PolicyName) -> messages.DeletedPolicy:
        await self._registry.commit(lambda snapshot: delete_policy(snapshot, params.name))
        self._bus.publish(PolicyDeleted(policy=params.name))
        return messages.DeletedPolicy(name=params.name)

    async def list(self, params: Nothing) -> list[messages.Policy]:
        policies = self._registry.snapshot.policies.values()
        counts = await self._counts()
        return [
            _policy_view(each, counts.get(each.name))
            for each in sorted(policies, key=lambda one: one.sequence)
        ]

    async def _counts(self) -> dict[str, Counted]:
        """By policy name; none while the tables are gone."""
        return {}


def _policy_view(policy: Policy, count: Counted | None) -> messages.Policy:
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
