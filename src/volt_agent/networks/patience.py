"""How often one thing is repaired: what breaks again and again is left alone for a while."""

from __future__ import annotations

from .agenda import Target

# Repairs of one target at once, and seconds until one more is allowed. A repair takes some 10 ms of
# CPU, and whoever is root in a container can break its own end in a loop.
BURST, REFILL = 20, 1.0
# Targets remembered; past it those that were not repaired lately are forgotten.
TARGETS_MAX = 4096


class Patience:
    """A token bucket for each target. Time is the caller's, in seconds."""

    def __init__(self) -> None:
        self._spent: dict[Target, tuple[float, float]] = {}  # tokens taken, as of when

    def __repr__(self) -> str:
        return f"<Patience [{len(self._spent)} targets]>"

    def repaired(self, target: Target, now: float) -> float:
        """Note a repair; for how many seconds `target` is to be left alone now (0: not at all)."""
        spent = self._spent_by(target, now) + 1
        self._spent[target] = (spent, now)
        if len(self._spent) > TARGETS_MAX:
            self._spent = {key: each for key, each in self._spent.items() if _left(each, now)}
        return REFILL if spent >= BURST else 0.0

    def _spent_by(self, target: Target, now: float) -> float:
        return _left(self._spent.get(target, (0.0, now)), now)


def _left(noted: tuple[float, float], now: float) -> float:
    spent, since = noted
    return max(0.0, spent - (now - since) / REFILL)
