"""Reads nft's JSON listings (libnftables-json(5)), in a form that can be compared.

A listing shows handles, counts and an order of elements that differ between two loads of the same
text. `normalised` takes out just that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

# JSON as decoded: dict, list, str, int, bool or None.
Json = Any


class Counted(Struct, frozen=True):
    """What a counter has seen."""

    packets: int
    bytes: int


def normalised(listing: bytes) -> str:
    """A canonical text of a listing: the same for the same sets, chains and rules in order."""
    objects = [_stable(each) for each in objects_of(listing)]
    # Sorted by kind, name and chain; the sort is stable, so rules keep their order in the chain.
    objects.sort(key=_place)
    return msgspec.json.encode(objects, order="deterministic").decode()


def counted(listing: bytes) -> dict[str, Counted]:
    """The named counters in a listing."""
    counters = (each["counter"] for each in objects_of(listing) if "counter" in each)
    return {each["name"]: Counted(each["packets"], each["bytes"]) for each in counters}


def objects_of(listing: bytes) -> Iterator[dict[str, Json]]:
    """Each object of a listing."""
    text = listing.decode(errors="replace")  # interface names need not be UTF-8
    for each in msgspec.json.decode(text)["nftables"]:
        if "metainfo" not in each:
            yield each


def _place(each: Json) -> tuple[str, str]:
    ((kind, body),) = each.items()
    return kind, body.get("name") or body.get("chain", "")


def _stable(value: Json) -> Json:
    """`value` without handles and counts, and with the elements of sets in one order."""
    if isinstance(value, list):
        return [_stable(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _stable_member(key, member) for key, member in value.items() if key != "handle"}


def _stable_member(key: str, member: Json) -> Json:
    if key == "counter" and isinstance(member, dict):
        return {name: each for name, each in member.items() if name in ("name", "table", "family")}
    stable = _stable(member)
    # "elem" are the elements of a named set, "set" those of an anonymous one.
    if key in ("elem", "set") and isinstance(stable, list):
        stable.sort(key=msgspec.json.encode)
    return stable
