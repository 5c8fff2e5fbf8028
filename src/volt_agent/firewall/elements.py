"""The step between two rulesets where only elements come and go: most are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from ..kernel.netlink import Request
from ..kernel.nft_elements import Elements, addition, deletion
from .ruleset import TABLE_NAME, Delta, Element, Set
from .shape import shape_of
from .tables import FAMILY_OF_SET, SETS

# Larger steps are nft's: one message holds 64 KiB of elements, and these take up to 120 bytes each.
_ELEMENTS_MAX = 256


def element_requests(step: Delta) -> tuple[Request, ...] | None:
    """The same transaction as `render.delta`, for the kernel itself.

    None where that takes more: sets and chains that come and go, ranges, or what has no plain form
    and should be refused by nft, which says why.
    """
    if step.has_structure or len(step.delete) + len(step.add) > _ELEMENTS_MAX:
        return None
    try:
        deletions = [deletion(each) for each in grouped(step.delete)]
        return (*deletions, *(addition(each) for each in grouped(step.add)))
    except ValueError:
        return None


def set_named(name: str) -> Set:
    """The declaration of a set, also of a generated one. Raises KeyError."""
    shape = shape_of(name)
    return SETS[name] if shape is None else shape.set()


def grouped(elements: Iterable[Element]) -> Iterator[Elements]:
    """By set. Raises ValueError for a set of ranges."""
    for name, group in groupby(sorted(elements), key=attrgetter("set")):
        each = set_named(name)
        if each.interval:
            raise ValueError(f"{name} has ranges")
        keys = tuple(element.key for element in group)
        family = FAMILY_OF_SET.get(name, "inet")
        yield Elements(family, TABLE_NAME, name, each.key, each.data, keys)
