"""Chains of others that drop volt's traffic, and the commands that make them let it through.

In nftables a drop is final and an accept is not: what volt accepts, Docker, ufw or firewalld may
still drop in a chain of theirs. volt never touches those; it says what they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from .ruleset import TABLE_NAME

Hook = Literal["forward", "input"]

# Chains that a tool leaves to its users, or reads before it drops; the first that is there is used.
_USER_CHAINS = ("DOCKER-USER", "ufw-before-forward", "ufw-before-input")
# What it takes to make the same last: the commands below are gone when the tool loads its rules.
_LASTING = {
    "ufw": "lasting: put the same rules into /etc/ufw/before.rules",
    "firewalld": "lasting: firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE",
    "Docker": "lasting: run them after docker.service, in a unit with PartOf=docker.service",
}
_SETTINGS_OF = {"forward": ("iifname", "oifname"), "input": ("iifname",)}
# Statements that neither decide nor restrict what a rule applies to.
_IDLE = frozenset({"counter", "log", "comment", "notrack", "mangle"})
_DEPTH = 16  # of jumps; the kernel's own limit (NFT_JUMP_STACK_SIZE)

Json = dict[str, Any]
Outcome = Literal["accept", "drop"] | None


class ForeignDrop(Struct, frozen=True):
    """A base chain that drops what volt accepts. `commands` heal it, `hint` says how they last."""

    family: str
    table: str
    chain: str
    hook: Hook
    tool: str
    commands: tuple[str, ...]
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.tool}: chain {self.chain} of table {self.family} {self.table}"


def patterns(bridges: Iterable[str]) -> tuple[str, ...]:
    """Names as nft matches them: volt* for all that begin so."""
    names = {"volt*" if each.startswith("volt") else each for each in bridges}
    return tuple(sorted(names))


def suspects(chains: Sequence[Json]) -> set[tuple[str, str]]:
    """The tables of others (family, name) with a base chain that volt's traffic meets."""
    return {(each["family"], each["table"]) for each in _base_chains(chains)}


def foreign_drops(objects: Sequence[Json], names: Sequence[str]) -> tuple[ForeignDrop, ...]:
    """What drops the traffic of bridges called `names` (`patterns`), in listings of `suspects`."""
    if not names:
        return ()
    rules = _Rules(objects)
    found = (
        _drop(each, rules, names) for each in _base_chains(objects) if rules.drops(each, names)
    )
    return tuple(found)


def _base_chains(objects: Sequence[Json]) -> Iterator[Json]:
    for each in objects:
        chain = each.get("chain")
        if (
            chain is not None
            and chain.get("hook") in _SETTINGS_OF
            and chain["family"] in ("ip", "inet")
            and chain["table"] != TABLE_NAME
        ):
            yield chain


def _drop(chain: Json, rules: _Rules, names: Sequence[str]) -> ForeignDrop:
    family, table, name, hook = chain["family"], chain["table"], chain["name"], chain["hook"]
    place = rules.user_chain(chain)
    tool = tool_of(table, rules.chains_of(family, table))
    return ForeignDrop(
        family=family,
        table=table,
        chain=name,
        hook=hook,
        tool=tool,
        commands=tuple(
            f'nft insert rule {family} {table} {place} {field} "{each}" accept'
            for each in names
            for field in _SETTINGS_OF[hook]
        ),
        hint=_LASTING.get(tool),
    )


def tool_of(table: str, chains: Iterable[str]) -> str:
    """Whose a table is, by the names of its chains."""
    names = set(chains)
    if table == "firewalld":
        return "firewalld"
    if any(each.startswith("ufw-") for each in names):
        return "ufw"
    if any(each.upper().startswith("DOCKER") for each in (*names, table)):
        return "Docker"
    return "another firewall"


class _Rules:
    """The rules of listed tables, followed as a packet of volt's would."""

    def __init__(self, objects: Sequence[Json]) -> None:
        self._rules: dict[tuple[str, str, str], list[list[Json]]] = {}
        for each in objects:
            if "chain" in each:
                chain = each["chain"]
                self._rules.setdefault((chain["family"], chain["table"], chain["name"]), [])
        for each in objects:
            if "rule" in each:
                rule = each["rule"]
                place = (rule["family"], rule["table"], rule["chain"])
                self._rules.setdefault(place, []).append(rule.get("expr", []))

    def chains_of(self, family: str, table: str) -> list[str]:
        return [name for where, which, name in self._rules if (where, which) == (family, table)]

    def user_chain(self, base: Json) -> str:
        """Where an accept comes before any drop: a chain for users that is jumped to, or itself."""
        place = (base["family"], base["table"], base["name"])
        reached = {name for name, _rule in self._walk(place, 0)}
        return next((each for each in _USER_CHAINS if each in reached), base["name"])

    def drops(self, base: Json, names: Sequence[str]) -> bool:
        """Whether a packet that nothing more special is said about ends in a drop here."""
        needed = {(field, name) for field in _SETTINGS_OF[base["hook"]] for name in names}
        place = (base["family"], base["table"], base["name"])
        for _chain, rule in self._walk(place, 0):
            needed -= set(_accepts(rule))
            outcome = _outcome(rule)
            if outcome is not None:
                return outcome == "drop" and bool(needed)
        return base.get("policy") == "drop" and bool(needed)

    def _walk(self, place: tuple[str, str, str], depth: int) -> Iterator[tuple[str, list[Json]]]:
        """Each rule with its chain, in the order in which such a packet meets them."""
        if depth > _DEPTH:
            return
        for rule in self._rules.get(place, ()):
            yield place[2], rule
            for statement in rule:
                target = (statement.get("jump") or statement.get("goto") or {}).get("target")
                if target is not None and not _conditions(rule):
                    yield target, []
                    yield from self._walk((place[0], place[1], target), depth + 1)


def _conditions(rule: Sequence[Json]) -> list[Json]:
    deciding = ("accept", "drop", "reject", "jump", "goto", "return", "queue")
    return [each for each in rule if next(iter(each)) not in (*_IDLE, *deciding)]


def _outcome(rule: Sequence[Json]) -> Outcome:
    """What an unconditional rule decides."""
    if _conditions(rule):
        return None
    for statement in rule:
        if "accept" in statement:
            return "accept"
        if "drop" in statement or "reject" in statement:
            return "drop"
    return None


def _accepts(rule: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """The (field, name) of a rule that accepts all of an interface, and nothing else."""
    conditions = _conditions(rule)
    if len(conditions) != 1 or not any("accept" in each for each in rule):
        return
    match = conditions[0].get("match", {})
    field = match.get("left", {}).get("meta", {}).get("key")
    if match.get("op") == "==" and isinstance(match.get("right"), str) and field:
        yield field, match["right"]
