"""What the reconciler still has to look at, in order, each thing once; and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from ..errors import VoltError


class Rank(IntEnum):
    """What goes first: without forwarding and bridges no port can be right."""

    HOST = 0
    NETWORK = 1
    UPLINK = 2
    PORT = 3
    INSIDE = 4  # what is behind a port that already carries traffic


class Target(NamedTuple):
    """Something to bring in order: a network by name, an uplink (VLAN) by its device, a port or its
    inside by NETWORK/WORKLOAD."""

    rank: Rank
    key: str = ""

    def __str__(self) -> str:
        word = {Rank.HOST: "the host's settings", Rank.NETWORK: "network"}
        word |= {Rank.UPLINK: "VLAN", Rank.PORT: "port"}
        return f"{word.get(self.rank, 'the inside of port')} {self.key}".strip()


class Agenda:
    """An ordered set of targets by rank. Adding one that waits already changes nothing."""

    def __init__(self) -> None:
        self._waiting: dict[Rank, dict[str, float]] = {rank: {} for rank in Rank}
        self._in_hand: frozenset[Target] = frozenset()
        self._postponed: set[Target] = set()
        self._listeners: dict[Target, list[asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()

    def add(self, target: Target, at: float) -> None:
        """Have `target` looked at; `at` (monotonic seconds) is when the reason for it arose."""
        self._postponed.discard(target)
        self._waiting[target.rank].setdefault(target.key, at)
        self._wake.set()

    def postpone(self, target: Target) -> None:
        """It was looked at in vain and will be added again: who waits for it goes on waiting."""
        self._in_hand -= {target}
        if target.key not in self._waiting[target.rank]:
            self._postponed.add(target)

    def _is_open(self, target: Target) -> bool:
        return (
            target in self._in_hand
            or target in self._postponed
            or target.key in self._waiting[target.rank]
        )

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + len(self._in_hand) + len(self._postponed)

    def targets(self, up_to: Rank) -> list[Target]:
        """Everything of these ranks that waits or is being looked at."""
        waiting = [Target(rank, key) for rank, keys in self._waiting.items() for key in keys]
        open_ones = (*self._in_hand, *self._postponed, *waiting)
        return [each for each in open_ones if each.rank <= up_to]

    async def take(self, most: int) -> tuple[Rank, dict[str, float]]:
        """Wait for work; the next keys of the first rank that has any, with when they arose."""
        while True:
            for rank, keys in self._waiting.items():
                if keys:
                    taken = dict(list(keys.items())[:most])
                    for key in taken:
                        del keys[key]
                    self._in_hand = frozenset(Target(rank, key) for key in taken)
                    return rank, taken
            self._wake.clear()
            await self._wake.wait()

    def done(self, target: Target, error: VoltError | None = None) -> None:
        """`target` was looked at: tell those who wait for it, unless it is waiting once more."""
        self._in_hand -= {target}
        if target.key in self._waiting[target.rank] and error is None:
            return
        for listener in self._listeners.pop(target, ()):
            if listener.done():
                continue
            if error is None:
                listener.set_result(None)
            else:
                listener.set_exception(error)

    async def settled(self, targets: Iterable[Target]) -> None:
        """Wait until `targets` have been looked at; raises the VoltError that one ended with."""
        loop = asyncio.get_running_loop()
        for target in targets:
            if self._is_open(target):
                future = loop.create_future()
                self._listeners.setdefault(target, []).append(future)
                await future
