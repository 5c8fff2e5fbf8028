"""How this agent is succeeded by a new version of itself, and what it got from the one before.

`handover` has the conversation; here is what an agent has to stop, to give and to take back. What
writes (the store, the kernel, certificates) rests while the successor starts; names and requests go
on meanwhile, from the last snapshot.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct

from . import __version__
from .control.messages import agent as messages
from .dhcp.server import DhcpServer
from .dns.server import NameServer
from .errors import Refused, VoltError
from .handover import message
from .handover.channel import Channel, ChannelClosedError, close_all, read_memory_file
from .handover.connections import Malformed, encode, packets, unpack
from .handover.incumbent import Successor, hand_over
from .handover.successor import CLAIM, LOCK, Inheritance
from .registry import Registry
from .service import ServiceManager
from .store import SqliteStore
from .store.database import VERSION as STORE_VERSION
from .supervise import Shift

if TYPE_CHECKING:
    from .control_plane import ControlPlane
    from .ingress.server import Ingress

log = logging.getLogger(__name__)

# How long commands that are under way may take to end before a successor takes over.
COMMANDS_WAIT = 10.0
# How often what has become idle meanwhile follows the others, while this agent drains.
FOLLOW = 0.02
NEXT = 0.0005  # and how often whether the successor has time for the next ones
# Connections that travel together: each rests while these are packed and unpacked.
FEW = 32
# A successor's loop is calm when this many turns in a row are this short (seconds), and is taken to
# be after CALM_WAIT at the latest.
CALM_TURNS, TURN, CALM_WAIT = 20, 0.005, 1.0
_KEPT_OPEN = "dhcp-"  # the sockets that are closed while the agent rests, by the start of the name


class Household(Struct, frozen=True, eq=False):
    """What has to rest, and in which order it does: that of the fields.

    `cut` waits until revoked connections are cut, `after` brings back what a successor may have
    changed, `reopen` has leases given again.
    """

    control: Callable[[], ControlPlane | None]
    cut: Callable[[], Awaitable[None]]
    shift: Shift
    dhcp: DhcpServer
    registry: Registry
    store: SqliteStore
    manager: ServiceManager
    claim: socket.socket
    reopen: Callable[[], None]
    after: Callable[[], Awaitable[None]]


class Succession:
    """One agent's part in hand-overs: at its start as the heir, later as the incumbent."""

    def __init__(self, household: Household, inheritance: Inheritance | None) -> None:
        self._household = household
        self._inheritance = inheritance
        self._generation = inheritance.generation if inheritance is not None else 1
        self._last: messages.HandOver | None = None
        self._undo = AsyncExitStack()
        self._duplicates: dict[str, int] = {}
        self._attempt: asyncio.Task[messages.Upgraded] | None = None
        self._successor: Successor | None = None

    def __repr__(self) -> str:
        return f"<Succession [generation {self._generation}, {self._successor or 'no successor'}]>"

    @property
    def generation(self) -> int:
        """How many agents there were with this one, each started by the one before."""
        return self._generation

    @property
    def last(self) -> messages.HandOver | None:
        """How this agent took over."""
        return self._last

    @property
    def is_over(self) -> bool:
        """Whether another process has taken over."""
        return self._successor is not None

    # ---- as the incumbent -----------------------------------------------------------------------

    async def upgrade(self, within: float) -> messages.Upgraded:
        """Have a new process take over. Raises Refused and Failed: then nothing has changed."""
        if self._attempt is not None or self._inheritance is not None:
            raise Refused("an upgrade is under way", "wait for it")
        self._attempt = asyncio.ensure_future(self._upgrade(within))
        try:
            return await asyncio.shield(self._attempt)
        finally:
            if self._successor is None and self._attempt.done():
                self._attempt = None

    async def abort(self) -> None:
        """The agent is told to end: an upgrade that is not over is none."""
        if self._attempt is not None and self._successor is None:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)

    async def _upgrade(self, within: float) -> messages.Upgraded:
        began = time.monotonic()
        offer = message.Offer(__version__, self._generation, STORE_VERSION)
        environment = {**os.environ, **self._household.manager.environment}
        rows = await self._household.store.rows()
        try:
            successor = await hand_over(self, offer, rows, environment, within)
        except VoltError as error:
            log.error("%s", error.message)
            raise
        self._household.manager.notify(mainpid=successor.pid)
        log.info("process %d (%s) has taken over", successor.pid, successor.program)
        self._successor = successor
        return messages.Upgraded(
            pid=successor.pid,
            version=successor.program,
            generation=self._generation + 1,
            seconds=round(time.monotonic() - began, 3),
        )

    async def rest(self) -> Mapping[str, int]:
        """Stop everything that writes, in order; `go_on` takes back what was done so far."""
        home, undo = self._household, self._undo
        undo.push_async_callback(home.after)
        control = home.control()
        if control is not None:
            undo.callback(control.go_on)
            await control.rest(COMMANDS_WAIT)
        await home.cut()
        undo.callback(home.shift.go_on)
        await home.shift.rest()
        self._duplicates = descriptors = home.manager.duplicates()
        undo.callback(self._reopen, descriptors)
        await home.dhcp.close()
        await home.registry.rest()
        undo.push_async_callback(home.registry.go_on)
        return {**descriptors, LOCK: await home.store.rest(), CLAIM: home.claim.fileno()}

    async def go_on(self) -> None:
        """Work as before. Raises StoreFailed if the store cannot be opened again."""
        await self._undo.aclose()

    def _reopen(self, descriptors: Mapping[str, int]) -> None:
        kept = {name: fd for name, fd in descriptors.items() if name.startswith(_KEPT_OPEN)}
        close_all([fd for name, fd in descriptors.items() if name not in kept])
        self._household.manager.give(kept)
        self._household.reopen()

    async def leave(self, names: NameServer, ingress: Ingress) -> None:
        """Answer and finish what is left here; what can travel follows to the successor."""
        assert self._successor is not None
        await self._let_go()
        ingress.succeeded()
        with suppress(ChannelClosedError):  # so that it knows to be the main process
            await self._successor.give([(encode([]), [])], time.monotonic())
        async with anyio.create_task_group() as group:
            group.start_soon(names.close)
            group.start_soon(self._send_the_rest, ingress)
            await ingress.close()
            group.cancel_scope.cancel()
        await names.close()
        await self._successor.finish()
        self._successor.close()

    async def _let_go(self) -> None:
        """Whoever comes after the successor shall not be refused because this process still
        drains."""
        home = self._household
        self._undo.pop_all()
        control = home.control()
        if control is not None:
            control.leave()
        home.claim.close()
        close_all([*self._duplicates.values()])
        await home.store.close()

    async def _send_the_rest(self, ingress: Ingress) -> None:
        assert self._successor is not None
        while True:
            # What is given before the successor has time for it would rest for nothing.
            were_any = self._successor.keeps_up and await self._send(ingress)
            await anyio.sleep(NEXT if were_any or not self._successor.keeps_up else FOLLOW)

    async def _send(self, ingress: Ingress) -> bool:
        """Send a few connections; whether there were any."""
        assert self._successor is not None
        since, departure = time.monotonic(), ingress.depart(FEW)
        try:
            with anyio.CancelScope(shield=True):
                await self._successor.give(packets(departure.connections), since)
        except ChannelClosedError:
            departure.undo()
            return False
        departure.done()
        return bool(departure.connections)

    # ---- as the heir ----------------------------------------------------------------------------

    async def arrive(self, ingress: Ingress) -> None:
        """Say that this agent serves, and go on with the connections that come then."""
        inheritance = self._inheritance
        if inheritance is None:
            return
        await _calm()
        channel = inheritance.channel
        channel.set_blocking(False)
        waited = time.monotonic() - inheritance.since
        self._last = messages.HandOver(
            at=time.time(), pause_ms=0.0, changes_waited_ms=round(waited * 1e3, 1), connections=0
        )
        try:
            await channel.tell(message.Serving())
            await self._take_in(channel, ingress)
        except (ChannelClosedError, message.BadMessageError) as error:
            log.warning("the agent before has ended early: %s", error)
        finally:
            channel.close()
            self._inheritance = None
        log.info("took over", extra={"fields": {"pause_ms": self._last.pause_ms}})

    async def _take_in(self, channel: Channel, ingress: Ingress) -> None:
        is_main = False
        while True:
            said, descriptors = await channel.hear()
            if not is_main:  # the service manager did not listen to this process before
                self._household.manager.notify(ready=1)
                is_main = True
            if not isinstance(said, message.Connections) or not descriptors:
                close_all(descriptors)
                return
            count = _adopt(ingress, read_memory_file(descriptors[0]), descriptors[1:])
            self._count(count, time.monotonic() - said.since)

    def _count(self, connections: int, pause: float) -> None:
        last = self._last
        assert last is not None
        self._last = messages.HandOver(
            at=last.at,
            pause_ms=max(last.pause_ms, round(pause * 1e3, 1)) if connections else last.pause_ms,
            changes_waited_ms=last.changes_waited_ms,
            connections=last.connections + connections,
        )


async def _calm() -> None:
    """Wait until the loop has the time for connections: right after a start its turns are long, and
    meanwhile the incumbent serves them. Not for ever: a busy machine is never calm."""
    loop = asyncio.get_running_loop()
    until, quick = loop.time() + CALM_WAIT, 0
    while quick < CALM_TURNS and loop.time() < until:
        began = loop.time()
        await asyncio.sleep(TURN / 2)
        quick = quick + 1 if loop.time() - began < TURN else 0


def _adopt(ingress: Ingress, state: bytes, descriptors: list[int]) -> int:
    """Go on with the connections of a parcel; returns how many."""
    try:
        found = unpack(state, descriptors)
    except Malformed as error:
        log.error("connections are lost: %s", error)
        close_all(descriptors)
        return 0
    for connection, fds in found:
        ingress.adopt(connection, fds)
    return len(found)
