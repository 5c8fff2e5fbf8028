"""The poller: bounded turns, nobody starves, a mistake costs one connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest

from volt_agent.ingress.connection import Connection
from volt_agent.ingress.poller import BATCH, IN, SLICE, TICK, Poller
from volt_agent.loop import Loop

WITHIN = 60.0  # seconds that anything may take
Finish = Callable[[Coroutine[Any, Any, None]], None]
LOOPS = (Loop, asyncio.SelectorEventLoop)


@pytest.fixture(params=LOOPS, ids=lambda each: each.__module__)
def finish(request: pytest.FixtureRequest) -> Iterator[Finish]:
    """Runs something to its end, on the agent's loop and on asyncio's."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(8)]
    yield made
    for one, other in made:
        one.close()
        other.close()


def test_a_turn_is_short_and_everybody_gets_one(
    pairs: list[tuple[socket.socket, socket.socket]], finish: Finish
) -> None:
    """Handlers that take longer than a turn, always ready: each is called as often as the others,
    and the rest of the loop comes in between."""
    calls = [0] * len(pairs)
    turns = 0

    def handler(number: int, _mask: int) -> None:
        calls[number] += 1
        end = time.monotonic() + SLICE
        while time.monotonic() < end:
            pass

    async def run() -> None:
        nonlocal turns
        poller = Poller()
        poller.start()
        for number, (one, other) in enumerate(pairs):
            other.send(b"x")  # never read
            poller.add(one.fileno(), IN, partial(handler, number))
        while sum(calls) < 5 * len(pairs):
            turns += 1
            await asyncio.sleep(0)
        poller.close()

    finish(run())
    assert max(calls) - min(calls) <= 1
    assert turns >= 5 * len(pairs)


class Mistaken(Connection):
    """Fails at whatever it is asked to do."""

    def __init__(self, poller: Poller, sock: socket.socket) -> None:
        super().__init__(poller, sock)
        self.is_lost = asyncio.Event()

    def _lost(self) -> None:
        self.is_lost.set()

    def _readable(self) -> None:
        raise RuntimeError("a mistake")

    def expire(self) -> None:
        raise RuntimeError("another mistake")


def test_a_mistake_costs_one_connection(
    pairs: list[tuple[socket.socket, socket.socket]],
    caplog: pytest.LogCaptureFixture,
    finish: Finish,
) -> None:
    """In a handler and at a deadline: it is closed, and what comes later comes."""

    async def run() -> None:
        poller = Poller()
        poller.start()
        ends = [Mistaken(poller, one) for one, _other in pairs[:2]]
        for end in ends:
            poller.add(end.fd, IN, end.event)
            poller.watch(end)
        pairs[0][1].send(b"x")
        ends[1].deadline = 0.0
        async with asyncio.timeout(20 * TICK):
            await asyncio.gather(*(end.is_lost.wait() for end in ends))
        assert all(end.is_closed for end in ends)
        poller.close()

    with caplog.at_level(logging.CRITICAL + 1, "volt_agent.ingress.poller"):
        finish(run())


def test_asyncio_gets_its_turns_beside_a_crowd(finish: Finish) -> None:
    """More descriptors than a batch has, all of them always ready: streams, timers and threads of
    asyncio go on."""

    async def run() -> None:
        poller = Poller()
        poller.start()
        crowd = [socket.socketpair() for _ in range(3 * BATCH)]
        for one, other in crowd:
            other.send(b"x")  # never read
            poller.add(one.fileno(), IN, lambda _mask: None)
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=here)
        async with asyncio.timeout(WITHIN):
            for _ in range(20):
                there.send(b"y")
                assert await reader.readexactly(1) == b"y"
                assert await asyncio.to_thread(lambda: "z") == "z"
                await asyncio.sleep(0.001)
        poller.close()
        writer.close()
        await writer.wait_closed()
        for each in (there, *(end for pair in crowd for end in pair)):
            each.close()

    finish(run())


def test_a_loop_goes_on_without_its_data_path(
    pairs: list[tuple[socket.socket, socket.socket]], finish: Finish
) -> None:
    """Once the poller is closed, and before it starts, asyncio waits by itself."""

    async def run() -> None:
        (one, other), (here, there) = pairs[:2]
        for _ in range(2):
            reader, writer = await asyncio.open_connection(sock=here.dup())
            there.send(b"y")
            assert await reader.readexactly(1) == b"y"
            writer.close()
            await writer.wait_closed()
            poller = Poller()
            poller.start()
            called = asyncio.Event()
            other.send(b"x")
            poller.add(one.fileno(), IN, lambda _mask, called=called: called.set())  # type: ignore[misc]
            async with asyncio.timeout(WITHIN):
                await called.wait()
            poller.close()

    finish(run())
