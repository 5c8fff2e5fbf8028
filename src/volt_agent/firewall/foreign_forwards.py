"""Rules of others that lead a port of this host elsewhere, before anything that listens on it.

A published port of a container is one: Docker rewrites its packets in nat prerouting. Found are
rules that certainly apply to strangers' TCP packets for the host; one with a condition that is not
understood is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from .foreign import tool_of
from .ruleset import TABLE_NAME

Json = dict[str, Any]
Span = tuple[int, int]

_EVERY_PORT: Span = (1, 65535)
_DEPTH = 16  # of jumps; the kernel's own limit (NFT_JUMP_STACK_SIZE)
# iptables-nft's rules come with some parts as the names of its extensions alone.
_XT_REWRITES = ("DNAT", "REDIRECT")


class ForeignForward(Struct, frozen=True):
    """A rule that leads `ports` (first and last, inclusive) elsewhere; those of all the host's
    addresses, or of `address`."""

    tool: str
    family: str
    table: str
    chain: str
    ports: tuple[Span, ...]
    address: str | None = None

    def takes(self, port: int, own: Collection[str]) -> bool:
        """Whether packets for `port` of one of the host's `own` addresses are its."""
        is_ours = self.address is None or self.address in own
        return is_ours and any(first <= port <= last for first, last in self.ports)

    def __str__(self) -> str:
        return f"{self.tool}: chain {self.chain} of table {self.family} {self.table}"


class _Scope(Struct, frozen=True):
    """What a rule applies to."""

    ports: tuple[Span, ...] = (_EVERY_PORT,)
    address: str | None = None


def nat_chains(objects: Iterable[Json]) -> Iterator[Json]:
    """The base chains of others in which destinations are rewritten."""
    for each in objects:
        chain = each.get("chain")
        if (
            chain is not None
            and (chain.get("type"), chain.get("hook")) == ("nat", "prerouting")
            and chain["family"] in ("ip", "inet")
            and chain["table"] != TABLE_NAME
        ):
            yield chain


def foreign_forwards(objects: Sequence[Json]) -> tuple[ForeignForward, ...]:
    """Those in listings of the tables of `nat_chains`."""
    rules: dict[tuple[str, str, str], list[list[Json]]] = {}
    for each in objects:
        if "rule" in each:
            rule = each["rule"]
            place = (rule["family"], rule["table"], rule["chain"])
            rules.setdefault(place, []).append(rule.get("expr", []))
    found = dict[ForeignForward, None]()
    for base in nat_chains(objects):
        family, table = base["family"], base["table"]
        tool = tool_of(table, (name for *where, name in rules if where == [family, table]))
        for chain, scope in _walk(rules, (family, table, base["name"]), 0):
            found[ForeignForward(tool, family, table, chain, scope.ports, scope.address)] = None
    return tuple(found)


def _walk(
    rules: dict[tuple[str, str, str], list[list[Json]]], place: tuple[str, str, str], depth: int
) -> Iterator[tuple[str, _Scope]]:
    """The rules that rewrite, with their chains."""
    if depth > _DEPTH:
        return
    for rule in rules.get(place, ()):
        scope = _scope(rule)
        if scope is None:
            continue
        if any(_rewrites(each) for each in rule):
            if scope != _Scope():  # all there is: a trap of somebody, not a forward
                yield place[2], scope
            continue
        for statement in rule:
            target = (statement.get("jump") or statement.get("goto") or {}).get("target")
            if target is not None and scope == _Scope():
                yield from _walk(rules, (place[0], place[1], target), depth + 1)


def _rewrites(statement: Json) -> bool:
    xt = statement.get("xt") or {}
    is_extension = xt.get("type") == "target" and xt.get("name") in _XT_REWRITES
    return "dnat" in statement or "redirect" in statement or is_extension


def _scope(rule: Sequence[Json]) -> _Scope | None:
    """What strangers' packets a rule applies to; None where that is not known."""
    ports: tuple[Span, ...] = (_EVERY_PORT,)
    address = None
    for statement in rule:
        xt = statement.get("xt") or {}
        if xt.get("type") == "match" and xt.get("name") != "addrtype":
            return None
        match = statement.get("match")
        if match is None or _is_harmless(match):
            continue
        payload = match["left"].get("payload", {}) if isinstance(match["left"], dict) else {}
        place = payload.get("protocol"), payload.get("field")
        if match["op"] == "==" and place in (("tcp", "dport"), ("th", "dport")):
            ports = tuple(_spans(match["right"]))
        elif match["op"] == "==" and place == ("ip", "daddr") and isinstance(match["right"], str):
            address = match["right"]
        else:
            return None
    return _Scope(ports, address)


def _is_harmless(match: Json) -> bool:
    """Whether strangers' TCP packets for the host meet this condition."""
    left, op, right = match["left"], match["op"], match["right"]
    if not isinstance(left, dict):
        return False
    if "fib" in left:
        return bool(op == "==" and right == "local")
    meta, payload = left.get("meta", {}).get("key"), left.get("payload", {})
    if meta == "iifname":
        return bool(op == "!=")
    is_protocol = meta == "l4proto" or payload == {"protocol": "ip", "field": "protocol"}
    return bool(is_protocol and op == "==" and right in ("tcp", 6))


def _spans(right: Any) -> Iterator[Span]:
    """The ports that the right side of a comparison names."""
    if isinstance(right, int):
        yield right, right
    elif isinstance(right, dict) and "range" in right:
        first, last = right["range"]
        if isinstance(first, int) and isinstance(last, int):
            yield first, last
    elif isinstance(right, dict) and isinstance(right.get("set"), list):
        for each in right["set"]:
            yield from _spans(each)
