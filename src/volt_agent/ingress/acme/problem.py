"""What kept a certificate from being had: one value, whoever found it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# In the order in which an attempt may meet them; the metrics count by them.
Kind = Literal[
    "port",  # the CA could not reach the ingress at port 80
    "dns",  # the name does not exist, or has no address
    "caa",  # the owner of the name does not let this CA issue
    "clock",  # this host's clock is far from the CA's
    "trust",  # the directory's own certificate is not accepted
    "directory",  # no answer, or none of an ACME directory
    "account",  # the CA does not want this account
    "rate-limited",
    "challenge",  # the CA did not find its answer at port 80
    "order",  # refused or lost by the CA
    "timeout",  # the CA did not decide in time
    "storage",  # what was issued could not be kept
    "interrupted",  # the agent ended while the order was placed
    "internal",
]
# What the next try is held back for: this name, or everything at this CA.
Scope = Literal["host", "account"]

_REASON_MAX = 300


class Problem(Struct, frozen=True):
    """`reason` is one line for a user. `retry_after`: seconds that the CA asked to wait.
    `is_final`: the order that was under way is worth nothing any more. `is_preflight`: found before
    anything was asked of the CA, so looking again costs nobody anything."""

    kind: Kind
    reason: str
    scope: Scope = "host"
    retry_after: float | None = None
    is_final: bool = False
    is_preflight: bool = False


class OrderFailed(Exception):
    """Raised by everything that works on an order."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


def one_line(text: str) -> str:
    """What somebody else wrote, fit for a list: printable, without breaks, and not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _REASON_MAX else line[: _REASON_MAX - 3] + "..."
