"""The firewall as a plane: brings the kernel's ruleset to what the snapshot compiles to."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import Literal

from msgspec.structs import replace

from ..bus import Bus
from ..errors import KernelRefused
from ..events import Repaired, RulesetTampered
from ..kernel.nft import Nft, scratch_listing
from ..model.snapshot import Change, Snapshot
from ..model.workload import Port
from . import render
from .compile import COMPILED, is_guardable
from .elements import element_requests
from .hits import Hits, hits
from .incremental import Compiled, Step
from .ruleset import TABLE_NAME, Delta, DropCount
from .tables import COUNTERS, TABLES

log = logging.getLogger(__name__)

Started = Literal["kept", "loaded", "replaced"]

_PLACES = tuple((table.family, TABLE_NAME) for table in TABLES)

# Compiling one object takes 20 us: up to here a change is planned on the loop, beyond in a thread.
_PLANNED_ON_LOOP = 64

# An element, set or table that should be there is not, or the other way round.
_SIGNS_OF_DRIFT = (errno.ENOENT, errno.EEXIST)


class Firewall:
    """Keeps both tables as compiled. One writer: `apply` calls are serialised by the caller.

    `restore` and `remove` may come at any time; a lock keeps the transactions apart.
    """

    def __init__(self, nft: Nft, bus: Bus) -> None:
        self._nft = nft
        self._bus = bus
        self._compiled = Compiled()
        self._lock = asyncio.Lock()
        self._loads = 0  # full loads begun

    async def start(self, snapshot: Snapshot) -> Started:
        """Bring the kernel to `snapshot`, whatever it has; `snapshot.host.settling` is ignored.

        "kept": it has exactly that, nothing was touched. "replaced": it had an older form, replaced
        at once. "loaded": the hooks are new, so conntrack does not know the running connections
        yet: the settling form was loaded. The caller lets it stay for some seconds and then applies
        a change that puts the HostPolicy with `settling=False`.
        """
        async with self._lock:
            return await self._start(snapshot)

    async def apply(self, new: Snapshot, change: Change) -> float:
        """Bring the kernel from the last snapshot to `new`, the one after `change`.

        Returns the milliseconds it took; a change that leaves the ruleset as it is costs no
        transaction. Raises KernelRefused (or Invalid, for a name that cannot be in a ruleset): then
        the ruleset in force and the compiled one are what they were.
        """
        _warn_of_unguarded(change)
        # Shielded: once the kernel may have taken the step, it has to be adopted.
        return await asyncio.shield(self._apply(new, change))

    def apply_at_once(self, new: Snapshot, change: Change) -> float | None:
        """As `apply`, for a change that leaves the kernel's ruleset as it is; None for any other.

        Nothing is awaited and nothing is refused.
        """
        if self._lock.locked() or len(change.put) + len(change.delete) > _PLANNED_ON_LOOP:
            return None
        if not any(isinstance(each, COMPILED) for each in change.touched()):
            return 0.0
        begin = time.perf_counter()
        step = self._compiled.plan(new, change)
        if not step.delta.is_empty:
            return None
        _warn_of_unguarded(change)
        self._compiled.adopt(step)
        return _since(begin)

    async def restore(self) -> None:
        """Load everything again, whatever the kernel has, and publish Repaired.

        The counters start anew.
        """
        async with self._lock:
            await self._restore()

    async def repair(self, tampered: RulesetTampered) -> None:
        """Answer a RulesetTampered: restore, unless that is not needed.

        A restoration that began after the event covers it: a hundred foreign changes at once cost
        one or two. An event without a name is a guess, so the kernel's ruleset is compared first;
        otherwise, where notifications get lost (small socket buffers in a user namespace), those of
        the restoration could be the next to get lost.
        """
        loads = self._loads
        async with self._lock:
            if self._loads != loads:
                return
            if tampered.by or not await self._is_in_force():
                await self._restore()

    async def verify(self) -> bool:
        """Whether the kernel has exactly the compiled ruleset: 0.1 s for 1,000 connections."""
        async with self._lock:
            return await self._is_in_force()

    async def remove(self) -> bool:
        """Delete both tables and nothing else (`volt agent reset`); whether there was one."""
        async with self._lock:
            there = [await self._nft.listing(*place) is not None for place in _PLACES]
            await self._nft.run(render.removal())
            self._compiled = Compiled()
        return any(there)

    async def counters(self) -> tuple[DropCount, ...]:
        """What the defaults have dropped, by reason, in the order of the tables."""
        found = {}
        for family, name in _PLACES:
            found.update(await self._nft.counters(family, name))
        return tuple(
            DropCount(name, family, counter.meaning, found[name].packets, found[name].bytes)
            for name, (counter, family) in COUNTERS.items()
            if name in found
        )

    async def hits(self, snapshot: Snapshot) -> Hits:
        """What the rules and policies of `snapshot` have matched, by name."""
        compiled = self._compiled
        counts = await self._nft.element_counts(TABLE_NAME, list(compiled.generated_sets()))
        return await asyncio.to_thread(hits, snapshot, compiled.fragment_of, counts)

    async def _start(self, snapshot: Snapshot) -> Started:
        settled = await asyncio.to_thread(Compiled.of, _with_settling(snapshot, False))
        listings = await self._listings()
        if await self._has(listings, settled):
            self._compiled = settled
            return "kept"
        if _is_tracking(listings):
            settling = await asyncio.to_thread(Compiled.of, _with_settling(snapshot, True))
            if await self._has(listings, settling):  # the last agent ended within these seconds
                self._compiled = settling
                return "loaded"
            await self._load(settled)
            return "replaced"
        await self._load(await asyncio.to_thread(Compiled.of, _with_settling(snapshot, True)))
        return "loaded"

    async def _apply(self, new: Snapshot, change: Change) -> float:
        async with self._lock:
            begin = time.perf_counter()
            if len(change.put) + len(change.delete) <= _PLANNED_ON_LOOP:
                step = self._compiled.plan(new, change)
            else:
                step = await asyncio.to_thread(self._compiled.plan, new, change)
            if not step.delta.is_empty:
                await self._take(step)
            self._compiled.adopt(step)
            return _since(begin)

    async def _take(self, step: Step) -> None:
        try:
            await self._send(step.delta)
        except KernelRefused as refused:
            if refused.errno not in _SIGNS_OF_DRIFT:
                raise
            log.warning("the ruleset in force is not volt's any more (%s): loading it", refused)
            await self._load(self._compiled)
            await self._send(step.delta)

    async def _send(self, delta: Delta) -> None:
        requests = element_requests(delta)
        if requests is None:
            await self._nft.run(render.delta(delta))
        else:
            await self._nft.change_elements(requests)

    async def _restore(self) -> None:
        begin = time.perf_counter()
        await self._load(self._compiled)
        self._bus.publish(Repaired(what="firewall ruleset", effective_ms=_since(begin)))

    async def _load(self, compiled: Compiled) -> None:
        self._loads += 1
        await self._nft.run(await asyncio.to_thread(_full_text, compiled))
        self._compiled = compiled

    async def _is_in_force(self) -> bool:
        return await self._has(await self._listings(), self._compiled)

    async def _listings(self) -> list[str | None]:
        return [await self._nft.listing(family, name) for family, name in _PLACES]

    async def _has(self, listings: list[str | None], compiled: Compiled) -> bool:
        if None in listings:
            return False
        text = await asyncio.to_thread(_full_text, compiled)
        try:
            return listings == await scratch_listing(text, _PLACES)
        except KernelRefused as refused:
            # Also where namespaces are forbidden: then a restart replaces instead of keeping.
            log.warning("cannot compare the ruleset in force: %s", refused)
            return False


def _full_text(compiled: Compiled) -> str:
    return render.full(compiled.elements())


def _with_settling(snapshot: Snapshot, settling: bool) -> Snapshot:
    return replace(snapshot, host=replace(snapshot.host, settling=settling))


def _is_tracking(listings: list[str | None]) -> bool:
    """Whether volt's routed table has rules on connection states, so that conntrack is at work."""
    inet = listings[0]
    return inet is not None and '"ct":{"key":"state"}' in inet


def _warn_of_unguarded(change: Change) -> None:
    for each in change.put:
        if isinstance(each, Port) and not each.made and not is_guardable(each):
            log.warning("interface %r has a name that no rule can hold: unguarded", each.interface)


def _since(begin: float) -> float:
    """Milliseconds since `begin` (time.perf_counter())."""
    return (time.perf_counter() - begin) * 1000
