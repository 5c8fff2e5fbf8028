"""What is still to be looked at: once each, bridges before ports, and people may wait for it."""

from __future__ import annotations

import asyncio

import pytest

from volt_agent.errors import KernelRefused
from volt_agent.networks.agenda import Agenda, Rank, Target

PORT = Target(Rank.PORT, "backend/web")


def test_bridges_come_before_ports() -> None:
    """Whatever the order of adding; a target waits only once, since its first reason."""

    async def scenario() -> None:
        agenda = Agenda()
        agenda.add(PORT, 1.0)
        agenda.add(PORT, 2.0)
        agenda.add(Target(Rank.NETWORK, "backend"), 3.0)
        assert await agenda.take(9) == (Rank.NETWORK, {"backend": 3.0})
        assert await agenda.take(9) == (Rank.PORT, {"backend/web": 1.0})

    asyncio.run(scenario())


def test_waiting_ends_with_the_look() -> None:
    """settled returns once the target was looked at; at once if nothing is to be done."""

    async def scenario() -> None:
        agenda = Agenda()
        await agenda.settled([PORT])
        agenda.add(PORT, 1.0)
        waiting = asyncio.ensure_future(agenda.settled([PORT]))
        await agenda.take(9)
        await asyncio.sleep(0)
        assert not waiting.done()
        agenda.done(PORT)
        await waiting

    asyncio.run(scenario())


def test_waiting_goes_on_while_there_is_a_new_reason() -> None:
    """A change that arrives during the look is waited for, too."""

    async def scenario() -> None:
        agenda = Agenda()
        agenda.add(PORT, 1.0)
        waiting = asyncio.ensure_future(agenda.settled([PORT]))
        await asyncio.sleep(0)
        await agenda.take(9)
        agenda.add(PORT, 2.0)
        agenda.done(PORT)
        await asyncio.sleep(0)
        assert not waiting.done()
        await agenda.take(9)
        agenda.done(PORT)
        await waiting

    asyncio.run(scenario())


def test_waiting_ends_with_the_error() -> None:
    """Who waits learns why the kernel refused."""

    async def scenario() -> None:
        agenda = Agenda()
        agenda.add(PORT, 1.0)
        waiting = asyncio.ensure_future(agenda.settled([PORT]))
        await asyncio.sleep(0)
        await agenda.take(9)
        agenda.done(PORT, KernelRefused("no"))
        with pytest.raises(KernelRefused, match="no"):
            await waiting

    asyncio.run(scenario())
