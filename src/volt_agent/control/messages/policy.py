"""Network policies, and the question what would become of a connection."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params
from .firewall import Proto

Action = Literal["allow", "deny"]
ACTIONS: tuple[Action, ...] = ("allow", "deny")
Tested = Literal["tcp", "udp", "icmp"]
TESTED: tuple[Tested, ...] = ("tcp", "udp", "icmp")

# `from` cannot be the name of a field in Python.
_WORDS = {"source": "from", "target": "to"}


class CreatePolicy(Params, frozen=True, rename=_WORDS):
    """`from` and `to` are workloads or networks. An allow policy isolates `to`: other workloads
    reach it through policies only. `proto` None: tcp if there are ports, else any."""

    name: str
    source: str
    target: str
    action: Action
    port: str | int | None = None
    proto: Proto | None = None


class PolicyName(Params, frozen=True):
    name: str


class Policy(Struct, frozen=True, kw_only=True, rename=_WORDS):
    """A policy. `packets` counts the connections' first packets that it decided about since the
    ruleset was loaded; None where nothing is counted."""

    name: str
    source: str
    target: str
    port: str
    proto: str
    action: Action
    packets: int | None = 0


class CreatedPolicy(Policy, frozen=True, kw_only=True):
    """`changed` is False when exactly this policy existed already."""

    changed: bool = True


class DeletedPolicy(Struct, frozen=True, kw_only=True):
    name: str


class AskPolicy(Params, frozen=True, rename=_WORDS):
    """Would `from` (host, outside, a workload, or an address outside) reach `to` (a workload or an
    address)? tcp and udp need a port. `live`: also try it, from the source's namespace."""

    source: str
    target: str
    port: str | int | None = None
    proto: Tested = "tcp"
    live: bool = False


class Attempt(Struct, frozen=True, kw_only=True):
    """What a real attempt came to: `outcome` is one sentence. `agrees` says whether the kernel did
    as the model says; None where that cannot be told."""

    outcome: str
    agrees: bool | None


class PolicyAnswer(Struct, frozen=True, kw_only=True, rename=_WORDS):
    """What the model says. `by` names the object that decided ("policy: app-to-db", "rule: x",
    "default"), `reason` is one sentence. The addresses are those of the packets that were judged;
    None where there is none."""

    source: str
    target: str
    port: int | None
    proto: Tested
    verdict: Literal["ALLOWED", "DENIED"]
    by: str
    reason: str
    source_address: str | None = None
    address: str | None = None
    live: Attempt | None = None


CREATE = Method("net.policy.create", CreatePolicy, CreatedPolicy, "Create a policy", changes=True)
DELETE = Method("net.policy.delete", PolicyName, DeletedPolicy, "Delete a policy", changes=True)
LIST = Method("net.policy.list", Nothing, list[Policy], "List the network policies")
TEST = Method("net.policy.test", AskPolicy, PolicyAnswer, "Would a connection be allowed?")

METHODS = (CREATE, DELETE, LIST, TEST)
