"""The worker thread: in order, off the loop, and never in the wrong namespace."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from functools import partial

import pytest

from tests.kernel.worlds import new_namespace, unshare_network
from volt_agent.kernel.namespaces import StrandedError, identity
from volt_agent.kernel.worker import Worker

OWN = "/proc/thread-self/ns/net"


def test_calls_run_in_order_in_one_thread() -> None:
    """The loop goes on meanwhile."""

    async def scenario() -> None:
        worker, order = Worker("test"), list[int]()
        gate = threading.Event()
        first = asyncio.create_task(worker.run(gate.wait))
        rest = [asyncio.create_task(worker.run(partial(order.append, n))) for n in range(20)]
        await asyncio.sleep(0)
        assert order == []
        gate.set()
        await asyncio.gather(first, *rest)
        assert order == list(range(20))
        idents = {await worker.run(threading.get_ident) for _ in range(3)}
        assert len(idents) == 1
        assert idents != {threading.get_ident()}
        await worker.close()

    asyncio.run(scenario())


def test_what_a_call_raises_its_caller_gets() -> None:
    """And the next call is none the worse for it."""

    async def scenario() -> None:
        worker = Worker("test")
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        assert await worker.run(lambda: 42) == 42
        await worker.close()

    asyncio.run(scenario())


def test_a_cancelled_caller_does_not_stop_the_work() -> None:
    """Half-done work would be worse."""

    async def scenario() -> None:
        worker, done, gate = Worker("test"), list[bool](), threading.Event()

        def work() -> None:
            gate.wait()
            done.append(True)

        task = asyncio.create_task(worker.run(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await worker.close()
        assert done == [True]

    asyncio.run(scenario())


def test_a_closed_worker_takes_nothing_more() -> None:
    """One that never worked may be closed too."""

    async def scenario() -> None:
        worker = Worker("test")
        await worker.close()
        with pytest.raises(RuntimeError, match="takes no more calls"):
            await worker.run(lambda: None)
        assert repr(worker) == "<Worker test [closed]>"

    asyncio.run(scenario())


@pytest.mark.kernel
def test_a_stranded_thread_ends_and_another_takes_over(caplog: pytest.LogCaptureFixture) -> None:
    """Calls behind it are carried out at home; the log says loudly what happened."""

    def strand() -> None:
        unshare_network()
        raise StrandedError("no way back")

    async def scenario() -> None:
        home = identity(OWN)
        worker = Worker("test")
        lost = asyncio.create_task(worker.run(strand))
        behind = asyncio.create_task(worker.run(lambda: identity(OWN)))
        with pytest.raises(StrandedError):
            await lost
        assert await behind == home
        assert await worker.run(lambda: identity(OWN)) == home
        await worker.close()

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(scenario())
    assert "stuck in a foreign namespace" in caplog.text


def test_a_call_costs_little() -> None:
    """A tenth of a millisecond; this guards against ten times that."""

    async def scenario() -> None:
        worker = Worker("test")
        times = []
        for _ in range(200):
            before = time.perf_counter()
            await worker.run(os.getpid)
            times.append(time.perf_counter() - before)
        await worker.close()
        assert sorted(times)[100] < 0.002

    asyncio.run(scenario())


@pytest.mark.kernel
def test_a_new_namespace_is_another_one() -> None:
    """The tests' own helper does what they rely on."""
    handle = new_namespace()
    try:
        assert identity(f"/proc/self/fd/{handle}") != identity(OWN)
    finally:
        os.close(handle)
