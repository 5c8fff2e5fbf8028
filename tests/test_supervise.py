"""Tasks that rest and go on together."""

from __future__ import annotations

import asyncio

import anyio

from volt_agent.supervise import Shift


def test_a_shift_rests_and_goes_on() -> None:
    """Nothing runs while it rests; what has ended by itself is not begun again."""

    async def scenario() -> None:
        begun: list[str] = []

        async def for_ever() -> None:
            begun.append("for ever")
            await anyio.sleep_forever()

        async def once() -> None:
            begun.append("once")

        async with anyio.create_task_group() as group:
            shift = Shift(group)
            shift.start("for ever", for_ever)
            shift.start("once", once)
            await anyio.wait_all_tasks_blocked()
            await shift.rest()
            assert repr(shift) == "<Shift [resting]>"
            shift.start("late", once)
            assert begun == ["for ever", "once"]
            shift.go_on()
            await anyio.wait_all_tasks_blocked()
            assert begun == ["for ever", "once", "for ever", "once"]
            group.cancel_scope.cancel()

    asyncio.run(scenario())


def test_a_task_that_waits_to_be_restarted_rests_too() -> None:
    """A crash is not waited for."""

    async def scenario() -> None:

        async def crash() -> None:
            raise ValueError

        async with anyio.create_task_group() as group:
            shift = Shift(group)
            shift.start("crash", crash)
            await anyio.wait_all_tasks_blocked()
            await shift.rest()
            group.cancel_scope.cancel()

    asyncio.run(scenario())
