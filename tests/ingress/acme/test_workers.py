"""Threads for calls that block."""

from __future__ import annotations

import asyncio
import threading

import pytest

from volt_agent.ingress.acme.problem import OrderFailed
from volt_agent.ingress.acme.workers import CA_CALLS, Workers


def test_a_ca_that_never_ends_an_answer_keeps_no_turn() -> None:
    """Whoever asks is told so, and the next one has his turn."""
    ends = threading.Event()

    async def test() -> None:
        workers = Workers(ask_within=0.05)
        for _ in range(CA_CALLS + 1):
            with pytest.raises(OrderFailed, match="to answer"):
                await workers.ask(ends.wait, 60)
        assert await workers.disk(lambda: "disk") == "disk"

    try:
        asyncio.run(test())
    finally:
        ends.set()


def test_a_call_may_time_out_by_itself() -> None:
    """Its own TimeoutError is not taken for ours."""

    def call() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(Workers().ask(call))
