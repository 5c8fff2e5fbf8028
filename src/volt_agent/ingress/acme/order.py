"""The table of an order: from what the CA says to what is done next.

Every rule about the course of an order is here. An order that was interrupted takes the same way as
a new one: what the CA says is all that counts, so there is nothing to be restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

# RFC 8555, section 7.1.6; "none" before there is an order.
OrderStatus = str
# Of the authorisation, with the challenge that we answer told apart: "pending" is for us to answer,
# "processing" is being validated. "none" where it does not matter.
AuthorisationStatus = str
Phase = Literal["new", "challenge", "authorised", "finalised", "installed", "backing off"]
Step = Literal["place", "answer", "wait", "finalise", "download", "give up"]

_ANY = "none"

ROWS: Mapping[tuple[OrderStatus, AuthorisationStatus], tuple[Step, Phase]] = {
    ("none", _ANY): ("place", "new"),
    ("pending", "pending"): ("answer", "challenge"),
    ("pending", "processing"): ("wait", "challenge"),
    ("pending", "valid"): ("wait", "authorised"),
    ("pending", "invalid"): ("give up", "backing off"),
    ("pending", "deactivated"): ("give up", "backing off"),
    ("pending", "expired"): ("give up", "backing off"),
    ("pending", "revoked"): ("give up", "backing off"),
    ("ready", _ANY): ("finalise", "authorised"),
    ("processing", _ANY): ("wait", "finalised"),
    ("valid", _ANY): ("download", "installed"),
    ("invalid", _ANY): ("give up", "backing off"),
}

_FIRST, _LAST = 0.1, 5.0  # seconds between two looks at an order


def next_step(order: OrderStatus, authorisation: AuthorisationStatus) -> tuple[Step, Phase]:
    """What is to be done, and where that is on the way. Unknown words end the order."""
    about = authorisation if order == "pending" else _ANY
    return ROWS.get((order, about), ("give up", "backing off"))


def pause(looks: int, retry_after: float | None) -> float:
    """Seconds until the next look, after `looks` of them, or as long as the CA asks for."""
    if retry_after is not None:
        return min(max(retry_after, _FIRST), 60.0)
    return min(_FIRST * 1.5**looks, _LAST)
