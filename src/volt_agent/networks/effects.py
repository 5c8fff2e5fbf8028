"""When a start has taken effect on every plane: what `volt events` and the metrics report."""

from __future__ import annotations

import time

from ..bus import Bus
from ..events import WorkloadStarted
from ..model.snapshot import Snapshot
from ..model.workload import Instance


class Effects:
    """Follows each start from the runtime's notice to the last plane that has acted on it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._under_way: dict[str, tuple[Instance, float, dict[str, float]]] = {}

    def begin(self, instance: Instance, at: float) -> None:
        """A runtime noticed the start at `at` (monotonic seconds)."""
        self._under_way[instance.name] = (instance, at, {})

    def forget(self, workload: str) -> None:
        self._under_way.pop(workload, None)

    def add(self, workload: str, planes_ms: dict[str, float]) -> None:
        """Planes spent this many milliseconds on the start of `workload`."""
        if workload in self._under_way:
            spent = self._under_way[workload][2]
            for plane, ms in planes_ms.items():
                spent[plane] = spent.get(plane, 0.0) + ms

    def check(self, workload: str, snapshot: Snapshot) -> None:
        """Publish WorkloadStarted if every connection of `workload` has a port that is up."""
        if workload not in self._under_way:
            return
        connections = snapshot.connections_of.get(workload, ())
        ports = [snapshot.ports.get(each.key) for each in connections]
        if not all(port is not None and port.up for port in ports):
            return
        instance, at, planes = self._under_way.pop(workload)
        self._bus.publish(
            WorkloadStarted(
                workload=workload,
                kind=instance.kind,
                runtime=instance.runtime,
                networks={each.network: str(each.address) for each in connections},
                effective_ms=round((time.monotonic() - at) * 1e3, 2),
                planes_ms={plane: round(ms, 2) for plane, ms in planes.items()},
            )
        )
