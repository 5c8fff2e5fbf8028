"""The edge to the running kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from ..bus import Bus
from . import sysctl
from .actions import carry_out, unannounced
from .conntrack import Tracked, forget
from .edge import Flow
from .inside_watch import InsideWatch
from .looking import host_routes, look_inside, name_routes, port_behind
from .netlink_socket import NetlinkSocket
from .ops import Op
from .refusals import translate
from .state import Inside, Route
from .watch import Watch
from .worker import Worker


class LinuxEdge:
    """Links, addresses, routes, settings and conntrack of the namespace it is started in.

    Three threads, so that a workload's start waits neither for a look into a namespace nor for a
    walk through a conntrack table of 100,000 entries. Implements `edge.Edge`.
    """

    def __init__(self, bus: Bus) -> None:
        self._watch = Watch(bus)
        self.mirror = self._watch.mirror
        self._inside_watch = InsideWatch(bus, self.mirror)
        self._hands = Worker("volt-kernel")
        self._eyes = Worker("volt-look")
        self._broom = Worker("volt-conntrack")

    def __repr__(self) -> str:
        return f"<LinuxEdge {self._watch!r}>"

    async def start(self) -> None:
        """Read everything, then listen. Raises KernelRefused where the kernel will not be listened
        to at all."""
        self._home = NetlinkSocket()
        try:
            self._inside_watch.start()
            await self._watch.start()
        except OSError as error:
            self._home.close()
            raise translate("cannot listen to the kernel", error) from error

    async def close(self) -> None:
        """End the threads and stop listening; the kernel keeps everything."""
        for worker in (self._hands, self._eyes, self._broom):
            await worker.close()
        self._inside_watch.close()
        await self._watch.close()
        self._home.close()

    async def execute(self, ops: Sequence[Op]) -> None:
        """As in `Edge`. Several calls are carried out one after the other, never mixed."""
        await self.finish(self.begin(ops))

    def begin(self, ops: Sequence[Op]) -> asyncio.Future[None]:
        self._watch.rest()
        return self._hands.begin(partial(self._carry_out, ops))

    async def finish(self, begun: asyncio.Future[None]) -> None:
        try:
            await begun
        finally:
            await self._watch.catch_up()

    def _carry_out(self, ops: Sequence[Op]) -> None:
        is_done = False
        try:
            carry_out(ops, self._home)
            is_done = True
        finally:
            self._watch.look_at(unannounced(ops, is_done))

    async def settle(self) -> None:
        await self._watch.settle()

    async def look_again(self, links: Sequence[str]) -> None:
        try:
            await self._eyes.run(partial(self._watch.look_at, links))
        except OSError as error:
            raise translate("cannot look at the links again", error) from error
        await self.settle()

    async def inside(self, namespace: str) -> Inside:
        return await self._eyes.run(partial(look_inside, namespace))

    async def routes(self) -> tuple[Route, ...]:
        try:
            hops = await self._eyes.run(host_routes)
        except OSError as error:
            raise translate("cannot read the routes", error) from error
        return name_routes(hops, self.mirror.by_index)

    async def port_behind(self, bridge: str, mac: str) -> int:
        try:
            return await self._eyes.run(partial(port_behind, bridge, mac))
        except OSError as error:
            raise translate(f"cannot look for {mac} on {bridge}", error) from error

    async def read_sysctl(self, key: str) -> str | None:
        try:
            return await self._eyes.run(partial(sysctl.read, key))
        except OSError as error:
            raise translate(f"cannot read {key}", error) from error

    async def forget_flows(
        self, flows: Sequence[Flow], spare: Callable[[Tracked], bool] | None = None
    ) -> int:
        """As in `Edge`. One walk through the table, whatever the number of `flows`."""
        if not flows:
            return 0
        try:
            return await self._broom.run(partial(forget, flows, spare))
        except OSError as error:
            raise translate("cannot forget connections", error) from error
