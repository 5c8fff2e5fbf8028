"""Objects <-> rows: the kind is the class name, the body is JSON (msgspec's field names)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

import msgspec

from ..model.snapshot import DESIRED, Desired, Object

KINDS: dict[str, type[Desired]] = {kind.__name__: kind for kind in DESIRED}


class Row(NamedTuple):
    """An object as it is stored; (kind, key) is unique."""

    kind: str
    key: str
    body: str


class Unreadable(ValueError):
    """A row that this version of volt cannot take for an object."""


def rows(objects: Iterable[Object]) -> list[Row]:
    """The rows of those `objects` that are stored at all."""
    return [_row(each) for each in objects if isinstance(each, DESIRED)]


def objects(stored: Iterable[Row]) -> tuple[Desired, ...]:
    """The objects of all rows, kind by kind, so that a network comes before its connections."""
    found: dict[str, list[Desired]] = {kind: [] for kind in KINDS}
    for row in stored:
        each = decode(row)
        found[row.kind].append(each)
    return tuple(each for group in found.values() for each in group)


def decode(row: Row) -> Desired:
    """The object in `row`. Raises Unreadable, also for a field that this version does not know:
    a newer volt meant something by it. A field with a default may be missing."""
    kind = KINDS.get(row.kind)
    if kind is None:
        raise Unreadable(f"{row.kind!r} is not a kind of object")
    try:
        fields = msgspec.json.decode(row.body, type=dict[str, object])
        found: Desired = msgspec.convert(fields, kind, dec_hook=_decoded)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unreadable(f"{row.kind} {row.key!r}: {error}") from None
    unknown = fields.keys() - set(kind.__struct_fields__)
    if unknown:
        raise Unreadable(f"{row.kind} {row.key!r} has unknown fields: {', '.join(sorted(unknown))}")
    if found.key != row.key:
        raise Unreadable(f"{row.kind} {row.key!r} describes {found.key!r}")
    return found


def _row(each: Desired) -> Row:
    body = msgspec.json.encode(each, enc_hook=str).decode()
    return Row(type(each).__name__, each.key, body)


def _decoded(kind: type, value: object) -> object:
    if kind in (IPv4Address, IPv4Network) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"expected text for {kind.__name__}")
