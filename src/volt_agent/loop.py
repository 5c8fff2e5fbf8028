"""The agent's event loop: asyncio's, with a place in its selector for a data path.

What happens at thousands of sockets a second pays twice when it comes through an epoll set that is
a descriptor in asyncio's: two waits, and a round of the loop, for each wake-up. So it is the other
way round here: the loop waits in the data path's set, where asyncio's own is a descriptor.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

# Waits so many seconds (None: as long as it takes) and serves what is its own; whether there may be
# something for asyncio as well.
Wait = Callable[[float | None], bool]


class Selector(selectors.EpollSelector):
    """asyncio's selector, which waits in `wait` while there is one."""

    wait: Wait | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.wait is None:
            return super().select(timeout)
        return super().select(0) if self.wait(timeout) else []


class Loop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self.selector = Selector()
        super().__init__(self.selector)
