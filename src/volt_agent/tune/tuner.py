"""Setting sysctls and giving them back: kernel, then file, then store, and undone as one."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from ..errors import Failed, Invalid, KernelRefused, NotFound, Refused, VoltError
from ..kernel import sysctl
from ..kernel.edge import Edge
from ..kernel.host import boot_id
from ..kernel.ops import SetSysctl
from ..model.host import FormerSetting, TunedSetting
from ..model.snapshot import Change, Snapshot
from ..networks.forwarding import FORWARDING
from ..registry import Registry
from . import sysctl_file
from .values import canonical, check_taken, check_wanted, normal

T = TypeVar("T")

# As many as somebody reads. All keys of a host with 1,000 workloads are 100,000.
MATCHES_MAX = 1000
_ELSEWHERE = "some settings belong to the machine's first network namespace only"


class Reading(Struct, frozen=True):
    """A sysctl as it is (`value` None: it is not here, or cannot be read), and what was set."""

    name: str
    value: str | None
    tuned: TunedSetting | None = None


class Tuner:
    """Sysctls of the agent's network namespace. `path` is the file of those that are kept."""

    def __init__(self, registry: Registry, edge: Edge, path: Path = sysctl_file.PATH) -> None:
        self._registry, self._edge, self._path = registry, edge, path
        self._lock = asyncio.Lock()

    async def get(self, key: str) -> Reading:
        """Raises Invalid (no network setting), NotFound, Refused (cannot be read)."""
        name = canonical(key)
        return Reading(name, await self._value(name), self._tuned().get(name))

    async def look(self, keys: Sequence[str]) -> list[Reading]:
        """Some settings; one that is not here or cannot be read has no value."""
        found = []
        for name in keys:
            try:
                found.append(await self.get(name))
            except VoltError:
                found.append(Reading(name, None, self._tuned().get(name)))
        return found

    async def tuned(self) -> list[Reading]:
        """What was set through volt, by name."""
        return await self.look(sorted(self._tuned()))

    async def matching(self, pattern: str) -> list[Reading]:
        """The settings that `pattern` matches, by name. Raises Refused if they are too many."""
        names = await asyncio.to_thread(
            lambda: [*islice(sysctl.matching(pattern), MATCHES_MAX + 1)]
        )
        if len(names) > MATCHES_MAX:
            message = f"more than {MATCHES_MAX} settings match {pattern[:100]!r}"
            raise Refused(message, "narrow it, such as 'net.ipv4.conf.eth0.*'")
        return await self.look(names)

    async def set(self, wanted: Mapping[str, str], runtime: bool = False) -> list[Reading]:
        """Set all of `wanted` or none, until the next boot only with `runtime`.

        Raises Invalid (no such value), NotFound, Refused (read-only, or volt needs another value),
        Failed or StoreFailed (it could not be kept).
        """
        named = {canonical(key): value for key, value in wanted.items()}
        checked = {name: check_wanted(name, value) for name, value in named.items()}
        return await self._alone(self._set(checked, runtime))

    async def reset(self, key: str) -> Reading:
        """Bring back the value from before volt. Raises NotFound if it was not set through volt."""
        name = canonical(key)
        return await self._alone(self._give_back(name))

    # ---- one at a time, to the end --------------------------------------------------------------

    async def _alone(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out `work` to its end, even if the caller goes away meanwhile."""

        async def locked() -> T:
            async with self._lock:
                return await work

        return await asyncio.shield(asyncio.ensure_future(locked()))

    async def _set(self, wanted: Mapping[str, str], runtime: bool) -> list[Reading]:
        before = {name: await self._value(name) for name in wanted}

        async def steps() -> None:
            shown = {name: await self._try(name, value) for name, value in wanted.items()}
            await self._keep(lambda now: _tune(now, before, shown, runtime, boot_id()))

        await self._or_back(steps, before)
        return await self.look([*wanted])

    async def _give_back(self, name: str) -> Reading:
        tuned = self._tuned().get(name)
        if tuned is None:
            hint = "`volt tune sysctl list` shows what was"
            raise NotFound(f"{name} was not set through volt", hint)
        try:
            before = {name: await self._value(name)}
        except NotFound:  # its interface or module is gone, and the value with it
            before = {}

        async def steps() -> None:
            if before and name != FORWARDING:  # volt has that one on: it is given back at its end
                await self._write(name, tuned.former)
            await self._keep(lambda now: _untune(now, tuned, boot_id()))

        await self._or_back(steps, before)
        (found,) = await self.look([name])
        return found

    async def _or_back(
        self, steps: Callable[[], Coroutine[Any, Any, None]], before: Mapping[str, str]
    ) -> None:
        """Carry out `steps`; if one fails, all settings get their values `before`."""
        try:
            await steps()
        except VoltError:
            for name, value in before.items():
                if await self._value(name) != value:
                    await self._write(name, value)
            raise

    async def _keep(self, decide: Callable[[Snapshot], Change]) -> None:
        """Write the file, then the store; the file goes back if the store refuses."""
        old = self._registry.snapshot
        new = old.apply(decide(old))
        before, after = (sysctl_file.content(_kept(each)) for each in (old, new))
        if before != after:
            await asyncio.to_thread(sysctl_file.save, self._path, after)
        try:
            await self._registry.commit(decide)
        except VoltError:
            await asyncio.to_thread(sysctl_file.save, self._path, before)
            raise

    # ---- the kernel -----------------------------------------------------------------------------

    async def _try(self, name: str, value: str) -> str:
        """Write a value; the form in which the kernel shows it."""
        await self._write(name, value)
        shown = await self._value(name)
        check_taken(name, value, shown)
        return shown

    async def _value(self, name: str) -> str:
        try:
            value = await self._edge.read_sysctl(name)
        except KernelRefused as error:
            if error.errno == errno.EISDIR:
                hint = f"`volt tune sysctl list '{name}.*'` shows them"
                raise NotFound(f"{name} is a group of settings", hint) from None
            raise Refused(f"{name} cannot be read: it is no setting, or not for here") from None
        if value is None:
            raise NotFound(f"there is no setting {name} here", _ELSEWHERE)
        return normal(value)

    async def _write(self, name: str, value: str) -> None:
        try:
            await self._edge.execute([SetSysctl(key=name, value=value)])
        except KernelRefused as error:
            raise _explained(error, name, value) from None

    def _tuned(self) -> dict[str, TunedSetting]:
        boot = boot_id()
        tuned = self._registry.snapshot.tuned
        return {name: each for name, each in tuned.items() if each.is_in_force(boot)}


def _explained(error: KernelRefused, name: str, value: str) -> VoltError:
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.ENOENT):
        hint = "nothing is changed; the kernel's documentation (ip-sysctl) has the range"
        return Invalid(f"{name}: the kernel does not take {value[:100]!r}", hint)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Refused(f"{name} may not be written here", _ELSEWHERE)
    return Failed(f"{name}: {error.message}", error.hint)


def _kept(snapshot: Snapshot) -> dict[str, str]:
    return {each.name: each.kept for each in snapshot.tuned.values() if each.kept is not None}


def _tune(
    now: Snapshot, before: Mapping[str, str], shown: Mapping[str, str], runtime: bool, boot: str
) -> Change:
    """What the store has to know. The value before the first change stays the one to go back to."""
    put, delete = list[TunedSetting](), list[FormerSetting]()
    for name, value in shown.items():
        known = now.tuned.get(name)
        if known is not None and not known.is_in_force(boot):
            known = None
        former = known.former if known is not None else before[name]
        own = now.former_settings.get(name)
        if own is not None and not runtime:  # from now on it is the user who has it on
            former = own.value
            delete.append(own)
        kept = value if not runtime else known.kept if known is not None else None
        put.append(TunedSetting(name=name, former=former, boot=boot, kept=kept))
    changed = [each for each in put if now.tuned.get(each.name) != each]
    return Change(put=tuple(changed), delete=tuple(delete))


def _untune(now: Snapshot, tuned: TunedSetting, boot: str) -> Change:
    if tuned.name == FORWARDING and tuned.former != "1":
        own = FormerSetting(name=FORWARDING, value=tuned.former, boot=boot)
        return Change(put=(own,), delete=(tuned,))
    return Change(delete=(tuned,))
