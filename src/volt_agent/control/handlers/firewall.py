"""net.firewall.*"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...bus import Bus
from ...errors import VoltError
from ...events import RuleAdded, RuleDeleted, RulesConfirmed
from ...firewall.plane import Firewall
from ...firewall.ruleset import DropCount
from ...kernel.nft_listing import Counted
from ...model.firewall import Rule
from ...model.ports import show_ports
from ...model.snapshot import Change, Snapshot
from ...registry import Commit, Registry
from ...rules.confirm import confirmed, guarded, parse_window, seconds_left, waiting
from ...rules.firewall import add_rule, chain_of, delete_rule, flush_rules, in_order
from ..messages import firewall as messages
from ..messages.network import Unconfirmed
from ..method import Nothing
from . import Cut, Handlers
from .built_in import built_in_rules

Decision = Callable[[Snapshot], Change]


class FirewallHandlers:
    def __init__(self, registry: Registry, firewall: Firewall, bus: Bus, cut: Cut) -> None:
        self._registry, self._firewall, self._bus = registry, firewall, bus
        self._cut = cut

    def handlers(self) -> Handlers:
        return {
            "net.firewall.add": self.add,
            "net.firewall.delete": self.delete,
            "net.firewall.list": self.list,
            "net.firewall.flush": self.flush,
            "net.firewall.confirm": self.confirm,
            "net.firewall.pending": self.pending,
        }

    async def add(self, params: messages.AddRule) -> messages.AddedRule:
        commit = await self._change(
            lambda snapshot: add_rule(
                snapshot,
                params.name,
                params.source,
                params.dest,
                params.action,
                port_text(params.port),
                params.proto,
            ),
            f"rule {params.name} added",
            params.confirm,
        )
        rule = commit.new.rules[params.name]
        changed = not commit.change.is_empty
        if changed:
            self._bus.publish(RuleAdded(rule=rule.name, chain=chain_of(rule)))
        count = Counted(0, 0) if changed else (await self._counts(commit.new)).get(rule.name)
        return messages.AddedRule(
            changed=changed,
            unconfirmed=unconfirmed_view(commit.new, time.time()),
            **_fields(rule_view(rule, count)),
        )

    async def delete(self, params: messages.DeleteRule) -> messages.DeletedRules:
        return self._deleted(
            await self._change(
                lambda snapshot: delete_rule(snapshot, params.name),
                f"rule {params.name} deleted",
                params.confirm,
            )
        )

    async def flush(self, params: messages.FlushRules) -> messages.DeletedRules:
        return self._deleted(await self._change(flush_rules, "all rules deleted", params.confirm))

    async def list(self, params: Nothing) -> list[messages.Rule]:
        snapshot = self._registry.snapshot
        counts = await self._counts(snapshot)
        rules = in_order(snapshot.rules.values())
        return [
            *(rule_view(each, counts.get(each.name)) for each in rules),
            *built_in_rules(snapshot, await self._drops()),
        ]

    async def confirm(self, params: Nothing) -> messages.Confirmed:
        commit = await self._registry.commit(confirmed)
        pending = waiting(commit.old)
        assert pending is not None
        self._bus.publish(RulesConfirmed(change=pending.what))
        return messages.Confirmed(change=pending.what)

    async def pending(self, params: Nothing) -> messages.Pending:
        return messages.Pending(unconfirmed=unconfirmed_view(self._registry.snapshot, time.time()))

    async def _change(self, decide: Decision, what: str, confirm: str | None) -> Commit:
        """Commit what `decide` says, with a way back from it if it has to be confirmed."""
        window = parse_window(confirm) if confirm is not None else None
        commit = await self._registry.commit(
            lambda snapshot: guarded(snapshot, decide(snapshot), what, window, time.time())
        )
        await self._cut()
        return commit

    def _deleted(self, commit: Commit) -> messages.DeletedRules:
        gone = in_order(each for each in commit.change.delete if isinstance(each, Rule))
        for each in gone:
            self._bus.publish(RuleDeleted(rule=each.name))
        return messages.DeletedRules(
            deleted=[each.name for each in gone],
            unconfirmed=unconfirmed_view(commit.new, time.time()),
        )

    async def _counts(self, snapshot: Snapshot) -> Mapping[str, Counted]:
        """By rule name; none while the tables are gone."""
        try:
            return (await self._firewall.hits(snapshot)).rules
        except VoltError:
            return {}

    async def _drops(self) -> dict[str, DropCount]:
        try:
            return {each.name: each for each in await self._firewall.counters()}
        except VoltError:
            return {}


def unconfirmed_view(snapshot: Snapshot, now: float) -> Unconfirmed | None:
    """The change that waits, if one does. `now` is wall-clock time in seconds since the epoch."""
    pending = waiting(snapshot)
    if pending is None:
        return None
    deadline = datetime.fromtimestamp(pending.deadline, UTC)
    return Unconfirmed(
        change=pending.what,
        deadline=deadline.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds_left=round(max(0.0, seconds_left(pending, now)), 1),
    )


def port_text(port: str | int | None) -> str | None:
    return None if port is None else str(port)


def rule_view(rule: Rule, count: Counted | None) -> messages.Rule:
    return messages.Rule(
        name=rule.name,
        source=str(rule.source),
        dest=str(rule.dest),
        ports=show_ports(rule.ports),
        proto=rule.protocol,
        action=rule.action,
        chain=chain_of(rule),
        packets=count.packets if count else None,
        bytes=count.bytes if count else None,
    )


def _fields(view: messages.Rule) -> dict[str, Any]:
    return {name: getattr(view, name) for name in messages.Rule.__struct_fields__}
