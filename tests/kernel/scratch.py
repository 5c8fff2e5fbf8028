"""A network namespace for the time of one scenario, held by nothing but the thread it runs in."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.namespaces import CLONE_NEWNET
from volt_agent.kernel.nft import Nft


def in_namespace(scenario: Callable[[Nft], Awaitable[None]]) -> None:
    """Run `scenario` in a new network namespace; what it raises, this raises.

    Sockets and processes that it starts are in that namespace too, and so is its Nft.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_run, scenario).result()


def _run(scenario: Callable[[Nft], Awaitable[None]]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET) == 0, "no new network namespace"
    asyncio.run(_with_nft(scenario))


async def _with_nft(scenario: Callable[[Nft], Awaitable[None]]) -> None:
    nft = Nft()
    try:
        await scenario(nft)
    finally:
        await nft.close()
