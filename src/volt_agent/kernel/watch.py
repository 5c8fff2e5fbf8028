"""Keeps the mirror true: links, addresses and per-interface settings, as netlink tells of them.

The socket is in one of three states:

=========  ==========================================================  =======================
state      what it means                                               left when
=========  ==========================================================  =======================
FOLLOWING  the mirror is true up to the last message read              messages were lost
LOST       the kernel dropped messages; what arrives is thrown away    the socket is empty
READING    everything is being read again, into a draft of the mirror  the dump is complete
=========  ==========================================================  =======================

The dump is asked for on the listening socket itself. Netlink keeps the order within a socket, so
that changes during the dump arrive after the part of it that they belong to, and apply to the draft
like to the mirror. The same order makes `settle` exact: when the answer to a question arrives,
everything announced before the question has been read.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto

from ..bus import Bus
from ..events import LinksChanged, SysctlChanged
from .ip_messages import GROUP_ADDRESS, GROUP_SETTINGS, all_addresses
from .link_messages import GROUP_LINK, all_links
from .mirroring import apply, difference, settings_changed
from .netlink import (
    DONE,
    ERROR,
    F_ACK,
    F_DUMP,
    F_DUMP_INTERRUPTED,
    NOOP,
    Message,
    Request,
    refusal,
)
from .refusals import translate
from .state import Mirror
from .subscription import Subscription

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
_AGAIN_AFTER = 0.1  # seconds, until a dump that was refused or interrupted is repeated
_DUMPS = (all_links, all_addresses)


class State(Enum):
    FOLLOWING = auto()
    LOST = auto()
    READING = auto()


class Watch:
    """The netlink listener of one namespace. `mirror` is filled by `start`."""

    def __init__(self, bus: Bus, buffer: int = BUFFER) -> None:
        self.mirror = Mirror()
        self._bus, self._buffer = bus, buffer
        self._state = State.LOST
        self._draft = Mirror()
        self._dump: int | None = None  # the sequence number of the dump under way
        self._stage = 0  # which of _DUMPS that is
        self._interrupted = False
        self._is_first = True
        self._timer: asyncio.TimerHandle | None = None
        self._changed: set[str] = set()
        self._settings: set[str] = set()
        # Questions without an answer yet; and those whose answer counts once the draft is complete.
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._deferred: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Watch [{self._state.name}, {len(self.mirror.links)} links]>"

    async def start(self) -> None:
        """Listen, read everything once, publish LinksChanged with all names."""
        self._loop = asyncio.get_running_loop()
        groups = (GROUP_LINK, GROUP_ADDRESS, GROUP_SETTINGS)
        self._socket = Subscription(groups, self._buffer)
        self._listen()
        self._read_everything()
        await self.settle()

    def close(self) -> None:
        """Stop listening. Whoever still waits in `settle` is cancelled."""
        self._loop.remove_reader(self._socket.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._socket.close()
        for waiter in (*self._asked.values(), *self._deferred):
            waiter.cancel()

    async def settle(self) -> None:
        """Return once the mirror holds everything announced before this call."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._state is State.LOST:
            self._deferred.append(waiter)
        else:
            # The kernel acknowledges a NOOP without taking the lock of rtnetlink.
            try:
                question = self._socket.ask(Request(NOOP, 0, b""), F_ACK)
            except OSError as error:
                raise translate("cannot ask the kernel for its state", error) from error
            self._asked[question] = waiter
            self._read()  # mostly the answer is there: no need to wait for the loop
        await waiter

    # ---- reading ----------------------------------------------------------------------------

    def _listen(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        if self._read():
            self._loop.remove_reader(self._socket.fileno())
            self._timer = self._loop.call_later(PAUSE, self._listen)

    def _read(self) -> bool:
        """Take one helping of what has arrived; True if that was all."""
        helping = self._socket.receive(HELPING)
        if helping.lost:
            self._lose()
        self._take(helping.messages)
        if self._state is State.LOST and helping.empty and self._dump is None:
            self._read_everything()
        self._publish()
        return helping.empty

    def _lose(self) -> None:
        log.warning("netlink messages were lost: reading all links again")
        self._state = State.LOST
        self._deferred += self._asked.values()
        self._asked.clear()

    def _take(self, messages: list[Message]) -> None:
        since = 0
        for position, message in enumerate(messages):
            if message.kind in (DONE, ERROR):
                self._note(messages[since:position])
                self._answered(message)
                since = position + 1
        self._note(messages[since:])

    def _note(self, messages: list[Message]) -> None:
        if self._state is State.READING:
            apply(self._draft, messages)
            self._interrupted |= any(each.flags & F_DUMP_INTERRUPTED for each in messages)
        elif self._state is State.FOLLOWING:
            self._settings |= settings_changed(self.mirror, messages)
            self._changed |= apply(self.mirror, messages)

    def _answered(self, message: Message) -> None:
        error = refusal(message)
        if message.sequence == self._dump:
            self._dump = None
            if self._state is State.READING:
                self._dumped(error)
        elif (waiter := self._asked.pop(message.sequence, None)) is not None:
            if self._state is State.READING:
                self._deferred.append(waiter)
            else:
                _wake([waiter])

    # ---- reading everything -----------------------------------------------------------------

    def _read_everything(self) -> None:
        self._draft, self._stage = Mirror(), 0
        self._interrupted = False
        self._state = State.READING
        self._ask_for_dump()

    def _ask_for_dump(self) -> None:
        try:
            self._dump = self._socket.ask(_DUMPS[self._stage](), F_DUMP)
        except OSError as error:
            self._dumped(error)

    def _dumped(self, error: OSError | None) -> None:
        if error is not None:
            log.warning("reading all links failed, trying again: %s", error.strerror)
            self._again_later()
            return
        self._stage += 1
        if self._stage < len(_DUMPS):
            self._ask_for_dump()
            return
        self._adopt()
        if self._interrupted:  # links came or went meanwhile: a dump by position may skip others
            self._again_later()

    def _adopt(self) -> None:
        names = difference(self.mirror, self._draft)
        vars(self.mirror).update(vars(self._draft))
        self._state = State.FOLLOWING
        self._bus.publish(LinksChanged(names=frozenset(names), resynced=not self._is_first))
        self._is_first = False
        _wake(self._deferred)
        self._deferred = []

    def _again_later(self) -> None:
        self._loop.call_later(_AGAIN_AFTER, self._again)

    def _again(self) -> None:
        is_open = self._socket.fileno() >= 0
        if is_open and self._dump is None and self._state is not State.LOST:
            self._read_everything()

    # ---- telling ----------------------------------------------------------------------------

    def _publish(self) -> None:
        if self._changed:
            names, self._changed = frozenset(self._changed), set()
            self._bus.publish(LinksChanged(names=names))
        settings, self._settings = self._settings, set()
        for name in sorted(settings):
            self._bus.publish(SysctlChanged(interface=name))


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
