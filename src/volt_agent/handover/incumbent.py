"""The side that hands over: it starts the successor, and goes on as before if that cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import anyio

from ..errors import Failed
from . import message
from .channel import Channel, ChannelClosedError, close_all, memory_file
from .successor import ENVIRONMENT

log = logging.getLogger(__name__)

NOT_UPGRADED = "not upgraded, the agent goes on as before"
# From `Take` to `Serving`: a start takes half a second, and ten times that on a busy machine.
START_WAIT = 30.0
# How long a successor that was killed may take to be gone: the kernel closes what it had.
_END_WAIT = 10.0
_SAID_MAX = 300  # characters of what a successor said at last
_READ_MAX = 1 << 20

M = TypeVar("M", bound=message.Message)


class _UnwantedError(Exception):
    """The successor said something else than it should, in words for a user."""


class Estate(Protocol):
    """The incumbent's agent, as far as a hand-over is concerned."""

    async def rest(self) -> Mapping[str, int]:
        """Write nothing any more, while names are answered and requests served. Returns what the
        successor gets, by name; the descriptors stay the estate's."""

    async def go_on(self) -> None:
        """Write again: nobody else does."""


class Successor:
    """The process that is to take over; its `program` is its version."""

    def __init__(self, channel: Channel, child: subprocess.Popen[bytes], said: int) -> None:
        self._channel, self._child, self._said = channel, child, said
        self._process = -1  # a pidfd, once it is an orphan
        self._has_ended = False
        self.pid, self.program = child.pid, ""

    def __repr__(self) -> str:
        return f"<Successor [process {self.pid}, {self.program or 'not ready'}]>"

    @classmethod
    async def start(
        cls,
        offer: message.Offer,
        rows: Sequence[tuple[str, str, str]],
        environment: Mapping[str, str],
        within: float,
    ) -> Successor:
        """Start it, and wait until it is ready. Raises Failed with the reason, and then it is
        gone."""
        found = await asyncio.to_thread(_spawn, environment)
        try:
            with anyio.fail_after(within):
                await found._make_ready(offer, rows)
        except BaseException as error:
            await found.end()
            reason = found._reason(error, within)
            found.close()
            if reason is None:
                raise
            raise Failed(f"{NOT_UPGRADED}: {reason}") from None
        return found

    async def take(self, since: float, descriptors: Mapping[str, int]) -> None:
        """Have it take over, and wait until it serves. Raises Failed, and then it is gone."""
        try:
            with anyio.fail_after(START_WAIT):
                for names in message.batches(list(descriptors)):
                    fds = [descriptors[each] for each in names]
                    await self._channel.tell(message.Descriptors(tuple(names)), fds)
                await self._channel.tell(message.Take(since))
                await self._expect(message.Serving)
        except BaseException as error:
            await self.end()
            reason = self._reason(error, START_WAIT)
            self.close()
            if reason is None:
                raise
            raise Failed(f"{NOT_UPGRADED}: {reason}", "the agent's log has more") from None

    async def give(self, packets: Iterable[tuple[bytes, list[int]]], since: float) -> None:
        """Send connections; their descriptors stay the caller's. Raises ChannelClosedError."""
        for state, descriptors in packets:
            file = memory_file(state)
            try:
                await self._channel.tell(message.Connections(since), [file, *descriptors])
            finally:
                os.close(file)

    @property
    def keeps_up(self) -> bool:
        """Whether it has received what was given so far."""
        return self._channel.has_been_read

    async def finish(self) -> None:
        """Nothing more comes."""
        with suppress(ChannelClosedError):
            await self._channel.tell(message.Done())

    async def end(self) -> None:
        """Kill it, and wait until it is gone: nobody but this agent writes then."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._process < 0:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        await asyncio.to_thread(_await_end, self._process)

    def close(self) -> None:
        """Let go of everything; the process goes on if it lives."""
        self._channel.close()
        for each in (self._process, self._said):
            with suppress(OSError):
                os.close(each)

    # ---- inside ---------------------------------------------------------------------------------

    async def _make_ready(self, offer: message.Offer, rows: Sequence[tuple[str, str, str]]) -> None:
        file = memory_file(message.pack_rows(rows))
        try:
            await self._channel.tell(
                offer, [file, sys.__stderr__.fileno() if sys.__stderr__ else 2]
            )
        finally:
            os.close(file)
        ready = await self._expect(message.Ready)
        self._process, self.pid = os.pidfd_open(ready.pid), ready.pid
        self.program = ready.program
        await asyncio.to_thread(self._child.wait)

    async def _expect(self, kind: type[M]) -> M:
        """The next message, which has to be a `kind`. Raises _UnwantedError with the reason."""
        said, descriptors = await self._channel.hear()
        close_all(descriptors)
        if isinstance(said, message.Refusal):
            raise _UnwantedError(f"the new version refuses: {said.reason[:_SAID_MAX]}")
        if not isinstance(said, kind):
            raise _UnwantedError(f"the new version says {type(said).__name__} out of turn")
        return said

    def _reason(self, error: BaseException, within: float) -> str | None:
        """Why it did not work, in a line; None for what is no failure of the successor. It has
        ended."""
        match error:
            case TimeoutError():
                return f"the new version was not ready within {within:g} s"
            case ChannelClosedError():
                return self._last_words()
            case message.BadMessageError():
                return f"the new version is not understood: {error}"
            case _UnwantedError():
                return str(error)
        return None

    def _last_words(self) -> str:
        status = self._child.returncode
        how = f"with status {status}" if status else "early"
        if status is not None and status < 0:
            how = f"by signal {-status}"
        os.lseek(self._said, 0, os.SEEK_SET)
        lines = os.read(self._said, _READ_MAX).decode(errors="replace").splitlines()
        last = next((each.strip() for each in reversed(lines) if each.strip()), "")
        return f"the new version ended {how}" + (f": {last[:_SAID_MAX]}" if last else "")


async def hand_over(
    estate: Estate,
    offer: message.Offer,
    rows: Sequence[tuple[str, str, str]],
    environment: Mapping[str, str],
    within: float,
) -> Successor:
    """Start a successor and give it everything but connections.

    Returns once it serves; the estate rests then. Raises Failed with the reason, and then the
    estate is at work as before.
    """
    successor = await Successor.start(offer, rows, environment, within)
    try:
        since = time.monotonic()
        await successor.take(since, await estate.rest())
    except BaseException:
        await successor.end()  # until it is gone, two might write
        await estate.go_on()
        raise
    return successor


def command() -> list[str]:
    """The command line of this process, with the program file as it is on the disk now."""
    return [sys.executable, *sys.orig_argv[1:]]


def program_on_disk() -> tuple[int, int]:
    """What tells the installed program from another one: a package manager replaces its files."""
    found = Path(__file__).parent.parent.joinpath("__init__.py").stat()
    return found.st_ino, found.st_mtime_ns


def _spawn(environment: Mapping[str, str]) -> Successor:
    """Start the program that this process was started from. Raises Failed."""
    channel, theirs = Channel.pair()
    said = os.memfd_create("volt-successor-says", os.MFD_CLOEXEC)
    try:
        child = subprocess.Popen(
            command(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=said,
            env={**environment, ENVIRONMENT: str(theirs.fileno())},
        )
    except OSError as error:
        channel.close()
        os.close(said)
        raise Failed(f"not upgraded: {command()[0]}: {error.strerror}") from None
    finally:
        theirs.close()
    return Successor(channel, child, said)


def _await_end(process: int) -> None:
    """Until the process of a pidfd has ended, which makes it readable (pidfd_open(2))."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(_END_WAIT * 1000):
        log.error("a successor that was killed does not end: it waits in the kernel")
