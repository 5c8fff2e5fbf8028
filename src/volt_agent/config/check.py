"""Plain values -> Config: walks schema and document together and collects every mistake."""

from __future__ import annotations

from functools import cache
from typing import Annotated, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from .mistakes import Mistakes, kind_of, shown, suggestion
from .readers import Reader, Unfit
from .schema import LETS_ENCRYPT, Config, IngressSection, ListOf, Secret, Section

S = TypeVar("S", bound=Section)


def check(value: object, mistakes: Mistakes) -> Config:
    """The configuration that `value` (a document) describes; a wrong key keeps its default."""
    config = _section(Config, value, "", mistakes) or Config()
    _check_together(config, mistakes)
    return config


def _section(kind: type[S], value: object, path: str, mistakes: Mistakes) -> S | None:
    """The section `kind` from `value`; None if it is no mapping or lacks a key without a default.

    A key with a mistake keeps its default, so that the rest can be looked at too.
    """
    if value is None:  # `network:` with nothing but comments below it
        value = {}
    if not isinstance(value, dict):
        # The value is not shown: it may be a secret on the wrong level.
        mistakes.add(path, f"expected a mapping of keys, got {kind_of(value)}")
        return None
    hints = get_type_hints(kind, include_extras=True)
    known: dict[str, object] = {}
    for key, item in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key not in hints:
            mistakes.add(where, _unknown(key, tuple(hints), mistakes))
            continue
        found = _field(hints[key], item, where, mistakes)
        if where not in mistakes.paths:
            known[key] = found
    return _complete(kind, known, path, mistakes)


def _complete(kind: type[S], known: dict[str, object], path: str, mistakes: Mistakes) -> S | None:
    complete = True
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in known:
            complete = False
            where = f"{path}.{field.name}"
            if where not in mistakes.paths:
                mistakes.add(where, "expected a value, got nothing")
    return kind(**known) if complete else None


def _field(hint: object, value: object, path: str, mistakes: Mistakes) -> object:
    if get_origin(hint) is Annotated:
        reader = get_args(hint)[1]
        if isinstance(reader, ListOf):
            return _list(reader, value, path, mistakes)
        return _leaf(reader, value, path, mistakes)
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    return _section(kinds[0], value, path, mistakes)


def _leaf(reader: Reader | Secret, value: object, path: str, mistakes: Mistakes) -> object:
    read, got = (reader.reader, kind_of) if isinstance(reader, Secret) else (reader, shown)
    try:
        return read(value)
    except Unfit as error:
        mistakes.unfit(path, error, got(value))
        return None


def _list(of: ListOf, value: object, path: str, mistakes: Mistakes) -> object:
    if not isinstance(value, list):
        mistakes.add(path, f"expected a list, got {shown(value)}")
        return None
    if len(value) > of.most:
        mistakes.add(path, f"expected at most {of.most} items, got {len(value)}")
        return None
    items: list[object] = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        found = _leaf(of.item, item, where, mistakes)
        if where in mistakes.paths:
            mistakes.paths.add(path)
        elif found in items:
            mistakes.add(where, f"expected each item once, got {shown(item)} again")
            mistakes.paths.add(path)
        items.append(found)
    if path in mistakes.paths:
        return None
    return _leaf(lambda _: of.gather(tuple(items)), value, path, mistakes)


def _check_together(config: Config, mistakes: Mistakes) -> None:
    """What no key can know alone. A key that has a mistake of its own is left out of it."""
    _check_ingress(config.ingress, mistakes)
    upstreams, gateway = "network.dns.upstream", config.network.default_subnet[1]
    if mistakes.concern("network.default_subnet", upstreams):
        return
    for index, server in enumerate(config.network.dns.upstream):
        if server.address == gateway:
            problem = "expected a server other than volt itself, the default bridge's gateway"
            mistakes.add(f"{upstreams}[{index}]", f"{problem}, got {server}")


def _check_ingress(ingress: IngressSection, mistakes: Mistakes) -> None:
    if ingress.http_port == ingress.https_port and not mistakes.concern(
        "ingress.http_port", "ingress.https_port"
    ):
        problem = f"expected another port than http_port, got {ingress.https_port}"
        mistakes.add("ingress.https_port", problem)
    acme = ingress.acme
    if acme.staging and acme.directory != LETS_ENCRYPT:
        problem = "expected false beside a directory of its own: it stands for Let's Encrypt's"
        mistakes.add("ingress.acme.staging", f"{problem}, got true")


def _unknown(key: str, known: tuple[str, ...], mistakes: Mistakes) -> str:
    if mistakes.are_too_many:  # a suggestion costs half a millisecond
        return "unknown key"
    return f"unknown key, {suggestion(key, known, all_paths(Config))}"


@cache
def all_paths(kind: type[Section], path: str = "") -> tuple[str, ...]:
    """The dotted path of every section and key below `kind`."""
    found: list[str] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        where = f"{path}.{name}".lstrip(".")
        found.append(where)
        for each in get_args(hint) or (hint,):
            if isinstance(each, type) and issubclass(each, Section):
                found += all_paths(each, where)
    return tuple(found)
