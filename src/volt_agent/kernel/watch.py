"""Keeps the mirror true: links, addresses and per-interface settings, as netlink tells of them.

The watch either follows what is announced, on the loop, or it reads everything anew, in a thread:
at the start, and after messages were lost. Asking takes the kernel's rtnetlink lock, which others
may hold for a tenth of a second; listening does not.

Netlink keeps the order within one socket. That makes `settle` exact: when the answer to a question
arrives, everything announced before the question has been read. And it makes reading anew exact,
see `reading`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from ..bus import Bus
from ..events import LinksChanged, SysctlChanged
from .ip_messages import GROUP_ADDRESS, GROUP_SETTINGS
from .link_messages import GROUP_LINK, get_link
from .mirroring import apply, difference, settings_changed
from .netlink import ERROR, F_ACK, NOOP, Request
from .reading import read_everything
from .refusals import translate
from .state import Mirror
from .subscription import Subscription
from .worker import Worker

log = logging.getLogger(__name__)

# A burst of 2,000 links made and deleted takes 8 MiB at most while the loop is busy elsewhere; with
# the default of 208 KiB it lost 586 messages.
BUFFER = 16 << 20
# Messages per wake-up: 64 links take 1.5 ms, which is as long as DNS answers are held up.
HELPING = 64
# Seconds to leave the socket alone once it is empty. One change makes half a dozen messages: the
# loop would wake up for each, and contend with the thread that makes the change. Whoever waits in
# `settle` reads at once.
PAUSE = 0.002
REST = 0.01  # the same while a change is made
_AGAIN_AFTER = 0.5  # seconds until reading is repeated that failed or was interrupted


class Watch:
    """The netlink listener of one namespace. `mirror` is filled by `start`."""

    def __init__(self, bus: Bus, buffer: int = BUFFER) -> None:
        self.mirror = Mirror()
        self._bus, self._buffer = bus, buffer
        self._worker = Worker("volt-watch")
        self._reading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_first = True
        # Questions without an answer yet, and waiters whom the end of the reading will answer.
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = "following" if self._reading is None else "reading"
        return f"<Watch [{state}, {len(self.mirror.links)} links]>"

    async def start(self) -> None:
        """Listen, read everything once, publish LinksChanged with all names. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        groups = (GROUP_LINK, GROUP_ADDRESS, GROUP_SETTINGS)
        self._socket = Subscription(groups, self._buffer)
        self._read_everything()
        await self.settle()

    async def close(self) -> None:
        """Stop listening. Whoever still waits in `settle` is cancelled."""
        if self._reading is not None:
            self._reading.cancel()
        self._pause()
        await self._worker.close()
        self._socket.close()
        for waiter in (*self._asked.values(), *self._waiting):
            waiter.cancel()

    async def settle(self) -> None:
        """Return once the mirror holds everything announced before this call."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._reading is not None:
            self._waiting.append(waiter)
        else:
            # The kernel acknowledges a NOOP at once, without taking any lock.
            try:
                question = self._socket.ask(Request(NOOP, 0, b""), F_ACK)
            except OSError as error:
                raise translate("cannot ask the kernel for its state", error) from error
            self._asked[question] = waiter
            self._read()  # mostly the answer is there: no need to wait for the loop
        await waiter

    async def catch_up(self) -> None:
        """As `settle`, for what a call to the kernel caused that has returned: it has been
        announced by then, so that there is nothing to ask."""
        is_all = self._reading is None and self._read()
        if not is_all or self._reading is not None:  # reading may have found that messages are lost
            await self.settle()

    def rest(self) -> None:
        """Leave the socket alone for a moment: what is about to be announced is our own doing, and
        whoever does it waits in `settle`."""
        if self._reading is None:
            self._pause(REST)

    def look_at(self, names: Iterable[str]) -> None:
        """Have these links described anew, ahead of any later `settle`. Call it in a thread.

        For what the kernel does not announce: changes of alias, alternative names and bridge flags
        of a link that is down (netdev_state_change in net/core/dev.c).
        """
        for name in names:
            self._socket.inquire(get_link(name))

    # ---- following --------------------------------------------------------------------------

    def _resume(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _pause(self, seconds: float | None = None) -> None:
        self._loop.remove_reader(self._socket.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._resume)

    def _readable(self) -> None:
        if self._read() and self._reading is None:
            self._pause(PAUSE)

    def _read(self) -> bool:
        """Take one helping of what has arrived; True if that was all."""
        helping = self._socket.receive(HELPING)
        messages = helping.messages()
        settings = settings_changed(self.mirror, messages)
        names = apply(self.mirror, messages)
        if helping.lost:
            log.warning("netlink messages were lost: reading all links again")
            self._read_everything()
        for message in messages:
            if message.kind == ERROR and message.sequence in self._asked:
                _wake([self._asked.pop(message.sequence)])
        if names:
            self._bus.publish(LinksChanged(names=frozenset(names)))
        for name in sorted(settings):
            self._bus.publish(SysctlChanged(interface=name))
        return helping.empty

    # ---- reading everything -----------------------------------------------------------------

    def _read_everything(self) -> None:
        self._pause()
        self._waiting += self._asked.values()
        self._asked.clear()
        self._reading = self._loop.create_task(self._adopt(), name="netlink-reading")

    async def _adopt(self) -> None:
        """Read everything in the thread, as often as it takes; then follow again."""
        while True:
            try:
                draft, is_whole = await self._worker.run(partial(read_everything, self._socket))
                break
            except OSError as error:
                log.warning("links cannot be read, trying again: %s", error.strerror)
                await asyncio.sleep(_AGAIN_AFTER)
        names = difference(self.mirror, draft)
        vars(self.mirror).update(vars(draft))
        self._reading = None
        self._resume()
        self._bus.publish(LinksChanged(names=frozenset(names), resynced=not self._is_first))
        self._is_first = False
        waiting, self._waiting = self._waiting, []
        _wake(waiting)
        if not is_whole:
            self._loop.call_later(_AGAIN_AFTER, self._read_again)

    def _read_again(self) -> None:
        if self._reading is None and self._socket.fileno() >= 0:
            self._read_everything()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
