"""The chains that change: one look-up for every generated set, in order.

They are a function of which sets have elements, so most changes leave them alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from .ruleset import Chain
from .shape import Area, Shape, shape_of

# Each chain, the rules it is made of, and which sources cannot occur there.
_CHAINS: tuple[tuple[str, Area, frozenset[str]], ...] = (
    ("rules-from-workload", "rule", frozenset({"outside"})),
    ("rules-from-outside", "rule", frozenset({"own", "net"})),
    ("host-from-workload", "host", frozenset({"outside"})),
    ("host-from-outside", "host", frozenset({"own", "net"})),
    ("policies", "policy", frozenset()),
)

_STATEMENTS = {
    "accept": "accept",
    "allow": "accept",
    "drop": "drop",
    "deny": "drop",
    "reject": "goto refuse",
}


def generated_chains(sets: Iterable[str]) -> tuple[Chain, ...]:
    """All of them, for the generated sets that are in use."""
    shapes = [shape for name in sets if (shape := shape_of(name)) is not None]
    shapes.sort(key=lambda shape: (shape.level, shape.name))
    return tuple(
        Chain(name, tuple(_lookup(name, each) for each in shapes if _is_in(each, area, never)))
        for name, area, never in _CHAINS
    )


def is_generated(name: str) -> bool:
    return shape_of(name) is not None


def _is_in(shape: Shape, area: Area, never: frozenset[str]) -> bool:
    return shape.area == area and shape.source not in never


def _lookup(chain: str, shape: Shape) -> str:
    statement = _STATEMENTS[shape.action]
    if chain == "rules-from-workload" and shape.action == "accept":
        statement = "goto accepted"
    return shape.lookup(statement)
