"""A ruleset as text for nft, one atomic transaction each: all of it, or the step to the next.

Text and not JSON, because nft 1.0.6 refuses maps with concatenated values in its JSON form. It also
wants a newline before the brace that closes a chain or a set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from .generated import generated_chains
from .ruleset import TABLE_NAME, Chain, Delta, Element, Family, Set, Table
from .shape import shape_of
from .tables import FAMILY_OF_SET, TABLES

# The table of generated sets and chains.
_GENERATED: Family = "inet"


def full(elements: Iterable[Element]) -> str:
    """Replaces both tables, whatever they hold; leaves every other table alone."""
    by_set: dict[str, list[str]] = {}
    for each in elements:
        by_set.setdefault(each.set, []).append(each.key)
    chains = {each.name: each for each in generated_chains(by_set)}
    return "".join(_table(table, by_set, chains) for table in TABLES)


def delta(step: Delta) -> str:
    """The text of one step."""
    lines = [f"add {_set_in_table(name)}" for name in step.new_sets]
    lines += [
        f"{verb} element {FAMILY_OF_SET.get(name, _GENERATED)} {TABLE_NAME} {name} "
        f"{{ {', '.join(each.key for each in group)} }}\n"
        for verb, elements in (("delete", step.delete), ("add", step.add))
        for name, group in _grouped(elements)
    ]
    for chain in step.chains:
        lines.append(f"flush chain {_GENERATED} {TABLE_NAME} {chain.name}\n")
        lines += (f"add rule {_GENERATED} {TABLE_NAME} {chain.name} {r}\n" for r in chain.rules)
    lines += (f"delete set {_GENERATED} {TABLE_NAME} {name}\n" for name in step.old_sets)
    return "".join(lines)


def removal() -> str:
    """Deletes both tables. Adding them first makes that succeed where they are gone already."""
    return "".join(_removed(table) for table in TABLES)


def _removed(table: Table) -> str:
    name = f"table {table.family} {TABLE_NAME}"
    return f"add {name}\ndelete {name}\n"


def _table(table: Table, keys: dict[str, list[str]], generated: dict[str, Chain]) -> str:
    parts = [_removed(table), f"table {table.family} {TABLE_NAME} {{\n"]
    parts += (f"\tcounter {each.name} {{\n\t}}\n" for each in table.counters)
    sets = list(table.sets)
    if table.family == _GENERATED:
        sets += (shape.set() for name in sorted(keys) if (shape := shape_of(name)) is not None)
    parts += (_set(each, keys.get(each.name, ())) for each in sets)
    parts += (_chain(generated.get(each.name, each)) for each in table.chains)
    parts.append("}\n")
    return "".join(parts)


def _set(each: Set, keys: Iterable[str]) -> str:
    kind, data = ("set", "") if each.data is None else ("map", f" : {each.data}")
    lines = [f"{kind} {each.name} {{", f"\ttype {each.key}{data}"]
    if each.interval:
        lines.append("\tflags interval")
    if each.counted:
        lines.append("\tcounter")
    if keys:
        lines.append(f"\telements = {{ {', '.join(keys)} }}")
    return _block(lines)


def _set_in_table(name: str) -> str:
    shape = shape_of(name)
    assert shape is not None
    each = shape.set()
    return f"set {_GENERATED} {TABLE_NAME} {name} {{ type {each.key}\n counter\n}}\n"


def _chain(chain: Chain) -> str:
    lines = [f"chain {chain.name} {{"]
    if chain.hook is not None:
        hook = chain.hook
        lines.append(
            f"\ttype {hook.type} hook {hook.hook} priority {hook.priority}; policy accept;"
        )
    lines += (f"\t{rule}" for rule in chain.rules)
    return _block(lines)


def _block(lines: Iterable[str]) -> str:
    return "".join(f"\t{line}\n" for line in (*lines, "}"))


def _grouped(elements: Iterable[Element]) -> Iterator[tuple[str, Iterator[Element]]]:
    return groupby(sorted(elements), key=attrgetter("set"))
