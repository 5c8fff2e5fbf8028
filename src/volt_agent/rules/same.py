"""Whether a repeated command asks for exactly what there is."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Refused
from ..model.lookup import shortened


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
