"""Two worlds in which the same cases run: the kernel, in a namespace of its own, and the fake."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import pytest

from volt_agent.bus import Bus
from volt_agent.events import Event
from volt_agent.kernel.actions import carry_out
from volt_agent.kernel.edge import Edge
from volt_agent.kernel.fake import FakeEdge
from volt_agent.kernel.linux import LinuxEdge
from volt_agent.kernel.namespaces import CLONE_NEWNET, entered, open_namespace
from volt_agent.kernel.netlink_socket import NetlinkSocket
from volt_agent.kernel.ops import Op

# For anything that a test waits for; no test depends on how long it takes.
PATIENCE = 60.0
_libc = ctypes.CDLL(None, use_errno=True)

E = TypeVar("E", bound=Event)


class World(Protocol):
    """An edge that has started, and what a test does to the kernel by other hands."""

    edge: Edge
    events: list[Event]

    def add_namespace(self) -> str:
        """A new network namespace: its path."""

    def remove_namespace(self, path: str) -> None: ...

    def by_hand(self, *ops: Op) -> None:
        """Carry out `ops` as somebody else would."""


Scenario = Callable[[Any], Awaitable[None]]


def unshare_network() -> None:
    """Give the calling thread a network namespace of its own."""
    assert _libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def new_namespace() -> int:
    """A descriptor of a new network namespace, which lives as long as that is open."""
    home = open_namespace("/proc/thread-self/ns/net")
    try:
        with entered(home):
            unshare_network()
            return open_namespace("/proc/thread-self/ns/net")
    finally:
        os.close(home)


class LinuxWorld:
    """Must be made in a thread that is in a namespace of its own."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.subscribe(Event, self.events.append)
        self.edge = LinuxEdge(self.bus)
        self._namespaces: dict[str, int] = {}

    async def __aenter__(self) -> LinuxWorld:
        await self.edge.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.edge.close()
        for path in list(self._namespaces):
            self.remove_namespace(path)

    def add_namespace(self) -> str:
        handle = new_namespace()
        path = f"/proc/{os.getpid()}/fd/{handle}"
        self._namespaces[path] = handle
        return path

    def remove_namespace(self, path: str) -> None:
        os.close(self._namespaces.pop(path))

    def by_hand(self, *ops: Op) -> None:
        with NetlinkSocket() as socket:
            carry_out(ops, socket)


class FakeWorld:
    def __init__(self) -> None:
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.subscribe(Event, self.events.append)
        self.edge = FakeEdge(self.bus)
        self._made = 0

    async def __aenter__(self) -> FakeWorld:
        await self.edge.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.edge.close()

    def add_namespace(self) -> str:
        self._made += 1
        path = f"/run/netns/space-{self._made}"
        self.edge.add_namespace(path)
        return path

    def remove_namespace(self, path: str) -> None:
        self.edge.remove_namespace(path)

    def by_hand(self, *ops: Op) -> None:
        self.edge.by_hand(*ops)


def on_linux(scenario: Callable[[LinuxWorld], Awaitable[None]]) -> None:
    """Run `scenario` on the kernel, in a thread and a network namespace of its own."""

    async def play() -> None:
        async with LinuxWorld() as world:
            await scenario(world)

    def thread() -> None:
        unshare_network()
        asyncio.run(play())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(thread).result()


def on_fake(scenario: Callable[[FakeWorld], Awaitable[None]]) -> None:
    async def play() -> None:
        async with FakeWorld() as world:
            await scenario(world)

    asyncio.run(play())


def on_both_edges(scenario: Callable[[World], Awaitable[None]]) -> Callable[[Any], None]:
    """Make a test that runs `scenario` on the kernel and on the fake."""

    @pytest.mark.parametrize(
        "play",
        [
            pytest.param(on_linux, marks=pytest.mark.kernel, id="linux"),
            pytest.param(on_fake, id="fake"),
        ],
    )
    def test(play: Callable[[Scenario], None]) -> None:
        play(scenario)

    test.__doc__ = scenario.__doc__
    test.__name__ = scenario.__name__
    return test


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds; AssertionError after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in {PATIENCE:.0f} s not: {what}"
        await asyncio.sleep(0.001)


def of_type(events: list[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]
