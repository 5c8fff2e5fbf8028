"""What the rest of volt may ask of Linux."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from .ops import Op
from .state import Inside, Mirror, Route

if TYPE_CHECKING:
    from .conntrack import Tracked

    Spare = Callable[[Tracked], bool]


class Flow(Struct, frozen=True):
    """Which tracked connections are meant; None is "any". Addresses: of the original direction."""

    source: IPv4Address | None = None
    destination: IPv4Address | None = None
    protocol: int | None = None
    destination_port: int | None = None
    # Matches a flow whose original source or destination, or reply source, is this address.
    either: IPv4Address | None = None


class Edge(Protocol):
    """Links, addresses, routes, sysctls and conntrack of the namespace the agent works in.

    All coroutines run their system calls in a worker thread; none blocks the loop.
    """

    mirror: Mirror

    async def start(self) -> None:
        """Read everything once, then keep the mirror up to date and publish LinksChanged,
        InsideChanged and SysctlChanged on the bus."""

    async def close(self) -> None: ...

    async def execute(self, ops: Sequence[Op]) -> None:
        """Carry out `ops` in order; stop at the first that fails and raise KernelRefused, whose
        message names the operation. When it returns, the mirror shows the result (`settle`)."""

    def begin(self, ops: Sequence[Op]) -> asyncio.Future[None]:
        """Hand over `ops` at once, to be carried out behind those handed over before; whoever does
        so awaits `finish` of what is returned."""

    async def finish(self, begun: asyncio.Future[None]) -> None:
        """Wait for what `begin` returned, and end as `execute` does."""

    async def settle(self) -> None:
        """Return once the mirror holds everything the kernel announced before this call."""

    async def look_again(self, links: Sequence[str]) -> None:
        """Have these links described anew: the kernel does not announce every change. When it
        returns, the mirror shows what was there at the call."""

    async def inside(self, namespace: str) -> Inside:
        """Look into another namespace. Raises KernelRefused (ENOENT) if it is gone."""

    async def routes(self) -> tuple[Route, ...]:
        """The IPv4 routes of the agent's own namespace, main table."""

    async def port_behind(self, bridge: str, mac: str) -> int:
        """The ifindex of the port of `bridge` from which a frame of `mac` came last; 0 where none
        did. Raises KernelRefused if there is no such bridge."""

    async def read_sysctl(self, key: str) -> str | None:
        """The value of a sysctl, stripped; None if there is no such key."""

    async def forget_flows(self, flows: Sequence[Flow], spare: Spare | None = None) -> int:
        """Delete the tracked connections that match any of `flows`, but not those of which `spare`
        (called in the worker thread) says True; returns how many."""
