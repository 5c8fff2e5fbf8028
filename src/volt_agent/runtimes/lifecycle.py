"""The task that hands starts and stops to the registry, in the order in which they happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from ..bus import Bus
from ..errors import VoltError
from ..events import InstanceStarted, InstanceStopped, WorkloadStopped
from ..model.network import Connection
from ..model.workload import Instance
from ..networks.effects import Effects
from ..networks.lifecycle import lacks_network, remember, started, stopped
from ..registry import Commit, Decision, Registry

log = logging.getLogger(__name__)

# Names remembered in the order in which they ended; a bridge has fewer ports.
STOPPED_MAX = 4096

Sign = InstanceStarted | InstanceStopped


class Lifecycle:
    """One start or stop, one commit. What the store has to know of a start follows in a second."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        effects: Effects,
        auto_connect: Callable[[], Collection[str]],
        default_network: str,
    ) -> None:
        self._registry, self._bus, self._effects = registry, bus, effects
        self._auto_connect, self._default_network = auto_connect, default_network
        self._ended: dict[str, None] = {}  # names that ended, in that order
        self._queue: asyncio.Queue[tuple[Sign, Commit | None]] = asyncio.Queue()
        self._open = 0  # signs that are not dealt with yet
        bus.subscribe(InstanceStarted, self._notice)
        bus.subscribe(InstanceStopped, self._notice)

    def _notice(self, sign: Sign) -> None:
        """Commit at once what can be, unless others come first: a turn of the loop is saved."""
        commit = None if self._open else self._registry.commit_at_once(self._decision(sign))
        self._open += 1
        self._queue.put_nowait((sign, commit))

    def _decision(self, sign: Sign) -> Decision:
        instance = sign.instance
        if isinstance(sign, InstanceStarted):
            self._effects.begin(instance, sign.at)
            return lambda snapshot: started(snapshot, instance)
        return lambda snapshot: stopped(snapshot, instance)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            sign, commit = await self._queue.get()
            try:
                if commit is None:
                    commit = await self._registry.commit(self._decision(sign))
                if isinstance(sign, InstanceStarted):
                    await self._started(sign.instance, commit)
                else:
                    self._stopped(sign, commit)
            except VoltError as error:
                # The workload keeps running; the store will know it after its next start.
                log.error("workload %s: %s", sign.instance.name, error)
            finally:
                self._open -= 1
                self._queue.task_done()

    async def join_default(self) -> None:
        """Let what runs already join the default network, after auto_connect has changed."""
        for instance in self._registry.snapshot.instances.values():
            await self._remember(instance)

    async def settled(self) -> None:
        """Wait until everything reported so far is committed."""
        await self._queue.join()

    async def _started(self, instance: Instance, commit: Commit) -> None:
        if commit.new.instances.get(instance.name) != instance:
            log.warning("a %s is called like the running %s", instance.runtime, instance.name)
            return
        self._effects.add(instance.name, commit.planes_ms)
        known = await self._remember(instance)
        self._effects.check(instance.name, known.new)

    async def _remember(self, instance: Instance) -> Commit:
        self._ended.pop(instance.name, None)
        commit = await self._registry.commit(
            lambda snapshot: remember(
                snapshot, instance, self._auto_connect(), self._default_network, self._ended
            )
        )
        for each in commit.change.delete:
            if isinstance(each, Connection):
                log.info(
                    "%s is full: %s, which does not run, has left it for %s",
                    each.network,
                    each.workload,
                    instance.name,
                )
        if lacks_network(commit.new, instance, self._auto_connect()):
            log.warning(
                "%s runs without a network: %s has no room for it, or is not there",
                instance.name,
                self._default_network,
            )
        return commit

    def _stopped(self, sign: InstanceStopped, commit: Commit) -> None:
        instance = sign.instance
        if commit.change.is_empty:
            return
        self._effects.forget(instance.name)
        self._note_end(instance.name)
        ms = round((asyncio.get_running_loop().time() - sign.at) * 1e3, 2)
        self._bus.publish(WorkloadStopped(workload=instance.name, effective_ms=ms))

    def _note_end(self, name: str) -> None:
        self._ended.pop(name, None)
        self._ended[name] = None
        if len(self._ended) > STOPPED_MAX:
            del self._ended[next(iter(self._ended))]
