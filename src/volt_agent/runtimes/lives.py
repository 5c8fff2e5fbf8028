"""What runs in one runtime at present, by the runtime's own names; published as it changes.

The runtime's names need not be DNS labels: `model.names.label_from` says what they become. A label
belongs to whoever bears it, whoever came first: so everybody has the same name, and address, after
a restart. Of several that map to one label, and of which none bears it, the first keeps it; the
others get a hash of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Set

from msgspec.structs import replace

from ..bus import Bus
from ..events import InstanceStarted, InstanceStopped
from ..model.names import is_label, label_from, second_label_from
from ..model.workload import Instance


class Lives:
    """Publishes InstanceStarted and InstanceStopped for one runtime."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._running: dict[str, Instance] = {}  # foreign name -> its present life
        self._foreign: dict[str, str] = {}  # workload -> foreign name

    def __repr__(self) -> str:
        return f"<Lives [{len(self._running)} running]>"

    @property
    def names(self) -> Set[str]:
        """The runtime's names of what runs."""
        return self._running.keys()

    def get(self, foreign: str) -> Instance | None:
        return self._running.get(foreign)

    def began(self, foreign: str, life: Instance) -> None:
        """`foreign` runs, as `life` says; its name is still to be found. A former life is over."""
        self.ended(foreign)
        borrower = self._foreign.get(foreign)
        borrowed = self._running.get(borrower) if borrower is not None else None
        if borrower is not None:
            self.ended(borrower)
        self._report(foreign, life)
        if borrower is not None and borrowed is not None:
            self._report(borrower, borrowed)

    def ended(self, foreign: str) -> None:
        """`foreign` does not run (any more)."""
        instance = self._running.pop(foreign, None)
        if instance is not None:
            del self._foreign[instance.name]
            self._bus.publish(InstanceStopped(instance=instance, at=time.monotonic()))

    def _report(self, foreign: str, life: Instance) -> None:
        label = label_from(foreign)
        if label in self._foreign:
            label = second_label_from(foreign)
        instance = replace(life, name=label)
        self._running[foreign] = instance
        self._foreign[label] = foreign
        self._bus.publish(InstanceStarted(instance=instance, at=time.monotonic()))


def owners_first(names: Iterable[str]) -> list[str]:
    """Those whose name is a label first: whatever else maps to it, the label is theirs."""
    return sorted(names, key=lambda name: (not is_label(name), name))
