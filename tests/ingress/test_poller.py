"""The poller: bounded turns, nobody starves, a mistake costs one connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from functools import partial

import pytest

from volt_agent.ingress.connection import Connection
from volt_agent.ingress.poller import IN, SLICE, TICK, Poller


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(8)]
    yield made
    for one, other in made:
        one.close()
        other.close()


def test_a_turn_is_short_and_everybody_gets_one(
    pairs: list[tuple[socket.socket, socket.socket]],
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

    asyncio.run(run())
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
    pairs: list[tuple[socket.socket, socket.socket]], caplog: pytest.LogCaptureFixture
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
        asyncio.run(run())
