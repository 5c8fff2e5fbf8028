"""Bridge ports as signs of life: foreign ports, and the carrier of taps that volt made."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..bus import Bus
from ..events import InstanceStarted, InstanceStopped, LinksChanged
from ..kernel.state import Link, Mirror
from ..model.snapshot import Snapshot
from ..model.workload import Instance
from ..networks.observe import (
    bridge_network,
    connection_key,
    foreign_kind,
    foreign_name,
    is_foreign,
)


class BridgePorts:
    """Publishes a start when such a port comes up, and a stop when it goes down or away."""

    def __init__(self, bus: Bus, mirror: Mirror, snapshot: Callable[[], Snapshot]) -> None:
        self._bus, self._mirror, self._snapshot = bus, mirror, snapshot
        self._running: dict[str, Instance] = {}  # interface -> its present life
        self._lives = 0

    async def start(self) -> None:
        """Report what is there, then watch."""
        self._bus.subscribe(LinksChanged, self._links_changed)
        self._look_at(list(self._mirror.links))

    async def close(self) -> None:
        """Nothing to release."""

    def _links_changed(self, event: LinksChanged) -> None:
        names = event.names
        if event.resynced:
            names = frozenset(self._mirror.links) | frozenset(self._running)
        self._look_at(sorted(names))

    def _look_at(self, names: list[str]) -> None:
        for name in names:
            link = self._mirror.links.get(name)
            workload = self._workload_of(link) if link is not None else None
            running = self._running.get(name)
            if running is not None and (
                link is None or workload != running.name or not self._is_life(running, link)
            ):
                del self._running[name]
                self._ended(running)
                running = None
            if running is None and link is not None and workload is not None:
                self._began(link, workload)

    def _ended(self, instance: Instance) -> None:
        """One sign of life is gone; the workload has stopped if it was the last one."""
        now = time.monotonic()
        for other in self._running.values():
            if other.name == instance.name:
                self._bus.publish(InstanceStarted(instance=other, at=now))
                return
        self._bus.publish(InstanceStopped(instance=instance, at=now))

    def _workload_of(self, link: Link) -> str | None:
        """Whose sign of life this link is at present; None for nobody's."""
        key = connection_key(link)
        if key is not None:
            return key.partition("/")[2] if link.kind == "tun" and link.carrier else None
        if not link.master or not is_foreign(link) or not link.up:
            return None
        network = bridge_network(link, self._snapshot(), self._mirror)
        return foreign_name(link) if network is not None else None

    def _is_life(self, running: Instance, link: Link) -> bool:
        return running.identity.startswith(f"{link.index}.")

    def _began(self, link: Link, workload: str) -> None:
        # The carrier of one tap goes down and up again: a number tells the lives apart.
        self._lives += 1
        made = connection_key(link) is not None
        instance = Instance(
            name=workload,
            kind="vm" if made else foreign_kind(link),
            runtime="tap" if made else "port",
            identity=f"{link.index}.{self._lives}",
        )
        self._running[link.name] = instance
        self._bus.publish(InstanceStarted(instance=instance, at=time.monotonic()))
