"""Looking up objects by name, with a hint where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from ..errors import NotFound, Refused
from ..model.snapshot import Snapshot

T = TypeVar("T")

# Of 10,000 names the closest takes 20 ms to find: beyond, nobody is asked what he meant.
_COMPARED_MAX = 2000


def find(what: str, name: str, table: Mapping[str, T]) -> T:
    """The object called `name`; raises NotFound with what was perhaps meant."""
    found = table.get(name)
    if found is None:
        raise NotFound(f"there is no {what} {shortened(name)}", meant(name, table))
    return found


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


def check_same(what: str, existing: object, wanted: object, fields: Mapping[str, str]) -> None:
    """Raise Refused if two objects of one name differ; `fields` maps attributes to users' words."""
    for field, word in fields.items():
        present, asked = _words(getattr(existing, field)), _words(getattr(wanted, field))
        if present != asked:
            raise Refused(
                f"{what} exists with {word} {shortened(present)}, not {shortened(asked)}",
                "delete it first to change it",
            )


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "any"
    return str(value)
