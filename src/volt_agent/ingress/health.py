"""Who is usable: from results of checks and requests to a standing. Pure.

A backend that is new is not used before its first check has passed. Checks and requests count
together: `fall` bad results in a row put a backend out, whoever saw them. Only checks bring it back
(`rise` good ones in a row): requests that still come back from it began before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ..config import HealthSection
from ..model.route import ANY_HOST, Route
from .targets import Address

State = Literal["checking", "healthy", "unhealthy"]
# Of a check: "passed" or "failed". Of a request: "served" or "missed" (no connection, no answer).
Result = Literal["passed", "failed", "served", "missed"]

# Seconds until the check after the first failure; doubled with each further one, up to the
# interval. A workload that has just started listens soon, and nobody should wait for it longer.
FIRST_RETRY = 0.05

_GOOD: frozenset[Result] = frozenset(("passed", "served"))
# State and whether a result was good -> how many such results in a row lead to which state.
# Whatever is not here changes no state.
_TRANSITIONS: Mapping[tuple[State, bool], tuple[Literal["one", "rise", "fall"], State]] = {
    ("checking", True): ("one", "healthy"),
    ("checking", False): ("fall", "unhealthy"),
    ("healthy", False): ("fall", "unhealthy"),
    ("unhealthy", True): ("rise", "healthy"),
}


class Check(Struct, frozen=True):
    """What is looked at. `path` None: whether connections are accepted; else whether a GET of it
    at `host` is answered with 2xx or 3xx."""

    address: Address
    path: str | None = None
    host: str = ""

    @classmethod
    def of(cls, route: Route, address: Address) -> Check:
        """The check for a backend of `route` at `address`."""
        if route.health_path is None or route.side == "passthrough":
            return cls(address)
        host = "{}:{}".format(*address) if route.hostname == ANY_HOST else route.hostname
        # Some name that the wildcard stands for.
        return cls(address, route.health_path, host.replace("*", "health-check", 1))

    def __str__(self) -> str:
        return "{}:{}".format(*self.address) + (self.path or "")


class Standing(Struct, frozen=True):
    """How a backend is, `since` when (Unix time), and why it is not healthy.

    `streak` counts the last results of one kind: 3 is three good ones in a row, -2 two bad ones.
    """

    state: State = "checking"
    since: float = 0.0
    reason: str | None = None
    streak: int = 0

    @property
    def is_usable(self) -> bool:
        return self.state == "healthy"

    @property
    def failures(self) -> int:
        """Bad results in a row."""
        return max(0, -self.streak)


def after(
    standing: Standing, result: Result, reason: str | None, settings: HealthSection, now: float
) -> Standing:
    """The standing after one more result; `reason` says in words why it is a bad one."""
    state, good = standing.state, result in _GOOD
    if state != "healthy" and result in ("served", "missed"):
        return standing
    if state == "healthy" and good and standing.streak > 0:
        return standing
    streak = max(standing.streak, 0) + 1 if good else min(standing.streak, 0) - 1
    because = reason if not good else None if state == "healthy" else standing.reason
    needed, then = _TRANSITIONS.get((state, good), ("one", state))
    enough = {"one": 1, "rise": settings.rise, "fall": settings.fall}[needed]
    if then == state or abs(streak) < enough:
        return Standing(state, standing.since, because, streak)
    return Standing(then, now, None if then == "healthy" else because, streak)


def delay(standing: Standing, settings: HealthSection) -> float:
    """Seconds until the next check."""
    if not standing.failures:
        return settings.interval
    return min(settings.interval, FIRST_RETRY * 2.0 ** min(standing.failures - 1, 20))
