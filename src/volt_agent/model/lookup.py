"""Looking up what users name, with a hint where there is no such thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from ..errors import NotFound
from .snapshot import Snapshot

T = TypeVar("T")

# Of 10,000 names the closest takes 20 ms to find: beyond, nobody is asked what he meant.
_COMPARED_MAX = 2000


def find(what: str, name: str, table: Mapping[str, T]) -> T:
    """The object called `name`; raises NotFound with what was perhaps meant."""
    found = table.get(name)
    if found is None:
        raise NotFound(f"there is no {what} {shortened(name)}", meant(name, table))
    return found


def check_workload(snapshot: Snapshot, name: str) -> None:
    """Raises NotFound, with what was perhaps meant, unless there is a workload called `name`."""
    if name not in snapshot.workloads and name not in snapshot.instances:
        is_network = " (it is a network)" if name in snapshot.networks else ""
        raise NotFound(
            f"there is no workload {shortened(name)}{is_network}",
            meant(name, known_workloads(snapshot)),
        )


def known_workloads(snapshot: Snapshot) -> set[str]:
    """Everything that was seen or connected once, or runs."""
    return {*snapshot.workloads, *snapshot.instances}


def meant(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist."""
    names = sorted(known)
    if not names:
        return "there are none yet"
    close = get_close_matches(name[:63], names[:_COMPARED_MAX], n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "known: " + ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def shortened(text: str) -> str:
    return text if len(text) <= 70 else text[:67] + "..."
