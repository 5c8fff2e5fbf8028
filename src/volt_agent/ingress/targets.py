"""Targets and endpoints: what a route leads to, and who gets the next request.

These are the live objects of the data path. A target lives as long as its route, whatever else
changes in the table; an endpoint as long as the target leads to its address. So connections, counts
and health survive every change that does not concern them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

Address = tuple[str, int]


class Endpoint:
    """One address behind a route.

    `is_usable` is False while its health or its workload's state keeps new requests away.
    `is_doubted`: its last result was a bad one, so a good one is news.
    `outstanding` are the requests in flight. `idle` are connections that wait for their next
    request, the one that was used last at the end.
    """

    __slots__ = ("address", "backend", "idle", "is_doubted", "is_usable", "outstanding")

    def __init__(self, address: Address, backend: str, *, is_usable: bool = True) -> None:
        self.address = address
        self.backend = backend  # as the user named it: NAME:PORT
        self.is_usable = is_usable
        self.is_doubted = False
        self.outstanding = 0
        self.idle: list[Any] = []

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else "out"
        return (
            f"<Endpoint {self.backend} at {self.address} [{state}, {self.outstanding} in flight]>"
        )


class Target:
    """What a route leads to. `timeout` in seconds, `body_limit` in bytes, None for none.

    `usable` are its usable endpoints; `refresh` has to be called after `is_usable` of one changed.
    `is_deleted`: the route is gone, only what is in flight may go on. `bits` is reserved for the
    counters of the data path.
    """

    __slots__ = (
        "_turn",
        "bits",
        "body_limit",
        "endpoints",
        "hsts",
        "is_deleted",
        "name",
        "timeout",
        "usable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.timeout = 30.0
        self.body_limit: int | None = None
        self.hsts: int | None = None
        self.is_deleted = False
        self.endpoints: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        self.bits: Any = None
        self._turn = 0

    def lead_to(self, endpoints: Iterable[Endpoint]) -> None:
        """Take these endpoints from now on."""
        self.endpoints = tuple(endpoints)
        self.refresh()

    def refresh(self) -> None:
        self.usable = tuple(each for each in self.endpoints if each.is_usable)

    def pick(self, tried: Collection[Endpoint] = ()) -> Endpoint | None:
        """The usable endpoint with the fewest requests in flight; ties in rotation. None if there
        is none besides those `tried`."""
        usable = self.usable
        if len(usable) == 1 and not tried:
            return usable[0]
        self._turn = turn = self._turn + 1
        best = None
        for step in range(len(usable)):
            each = usable[(turn + step) % len(usable)]
            if each not in tried and (best is None or each.outstanding < best.outstanding):
                best = each
        return best

    def __repr__(self) -> str:
        return f"<Target {self.name} [{len(self.usable)} of {len(self.endpoints)} usable]>"
