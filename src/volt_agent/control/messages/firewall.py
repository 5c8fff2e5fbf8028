"""Firewall rules: what users asked for, and what is built in."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params
from .network import Unconfirmed

Action = Literal["accept", "drop", "reject"]
Proto = Literal["tcp", "udp", "icmp", "any"]
ACTIONS: tuple[Action, ...] = ("accept", "drop", "reject")
PROTOCOLS: tuple[Proto, ...] = ("tcp", "udp", "icmp", "any")


class AddRule(Params, frozen=True):
    """`source` is any, outside, a CIDR, a workload or a network; `dest` the same but host instead
    of outside. `port` is as `80,443,8000-8010`; `proto` None: tcp if there are ports, else any.
    `confirm` (as `30s`): roll it back unless net.firewall.confirm follows within that time.
    """

    name: str
    source: str
    dest: str
    action: Action
    port: str | int | None = None
    proto: Proto | None = None
    confirm: str | None = None


class DeleteRule(Params, frozen=True):
    """`confirm` as for AddRule."""

    name: str
    confirm: str | None = None


class FlushRules(Params, frozen=True):
    """`confirm` as for AddRule."""

    confirm: str | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """A rule, in the order in which they are asked; then what is built in, marked `builtin`.

    `ports` and `proto` say "any" where they do not matter. `packets` and `bytes` count what matched
    since the ruleset was loaded: the first packets of connections; None where nothing is counted.
    """

    name: str
    source: str
    dest: str
    ports: str
    proto: str
    action: str
    chain: str
    packets: int | None = 0
    bytes: int | None = 0
    builtin: bool = False


class AddedRule(Rule, frozen=True, kw_only=True):
    """`changed` is False when exactly this rule existed already."""

    changed: bool = True
    unconfirmed: Unconfirmed | None = None


class DeletedRules(Struct, frozen=True, kw_only=True):
    """The names of the rules that are gone."""

    deleted: list[str]
    unconfirmed: Unconfirmed | None = None


class Pending(Struct, frozen=True, kw_only=True):
    """The change that waits for its confirmation, if one does."""

    unconfirmed: Unconfirmed | None = None


class Confirmed(Struct, frozen=True, kw_only=True):
    """What stays now."""

    change: str


ADD = Method("net.firewall.add", AddRule, AddedRule, "Add a firewall rule", changes=True)
DELETE = Method(
    "net.firewall.delete", DeleteRule, DeletedRules, "Delete a firewall rule", changes=True
)
LIST = Method("net.firewall.list", Nothing, list[Rule], "List the firewall rules")
FLUSH = Method(
    "net.firewall.flush", FlushRules, DeletedRules, "Delete all firewall rules", changes=True
)
CONFIRM = Method(
    "net.firewall.confirm", Nothing, Confirmed, "Keep the change that waits for it", changes=True
)
PENDING = Method("net.firewall.pending", Nothing, Pending, "Show the change that is unconfirmed")

METHODS = (ADD, DELETE, LIST, FLUSH, CONFIRM, PENDING)
