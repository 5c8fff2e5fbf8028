"""A change of the firewall rules that is rolled back unless somebody confirms it."""

from __future__ import annotations

from msgspec import Struct

from .firewall import Rule


class Unconfirmed(Struct, frozen=True):
    """The way back from a change that could lock the administrator out. There is one at a time.

    It is stored in the same commit as the change itself, so that no crash parts the two. `deadline`
    is wall-clock time in seconds since the epoch, `window` the seconds that were granted. `put` and
    `delete` are the rules that the way back puts and deletes; `what` names the change.
    """

    what: str
    window: float
    deadline: float
    put: tuple[Rule, ...] = ()
    delete: tuple[Rule, ...] = ()

    @property
    def key(self) -> str:
        return "rules"
