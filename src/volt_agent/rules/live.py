"""What a real attempt says about the model: does the kernel do as `decide` says?"""

from __future__ import annotations

from collections.abc import Mapping

from ..firewall.verdict import Service, Verdict
from ..kernel.attempt import Outcome
from ..model.firewall import Rule

SENTENCES: Mapping[Outcome, str] = {
    "answered": "the target answered",
    "refused": "refused at once: nobody listens there, or a rule rejects it",
    "unreachable": "unreachable: no route, or a rule rejects it",
    "silent": "no answer",
}


def agrees(verdict: Verdict, protocol: Service, outcome: Outcome, is_up: bool) -> bool | None:
    """Whether the outcome is what the verdict predicts; None where it cannot be told.

    `is_up` says that the target is known to run, so that an open way brings an answer: TCP and ping
    get one from any running host, a UDP server may choose to be silent. A refusal comes from a
    target that was reached, or from a rule that rejects.
    """
    if outcome == "answered":
        return verdict.allowed
    rejects = isinstance(verdict.decided, Rule) and verdict.decided.action == "reject"
    if outcome == "refused":
        return verdict.allowed or rejects
    if outcome == "unreachable":
        return True if rejects else None
    if not verdict.allowed:
        return not rejects
    return False if is_up and protocol != "udp" else None
