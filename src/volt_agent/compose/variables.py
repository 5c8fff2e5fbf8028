"""`$NAME` and `${NAME...}` in a Compose file (Compose specification, "Interpolation")."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<word>[^{}$]*))?\}|(?P<wrong>))",
    re.ASCII,
)


class MissingVariable(ValueError):
    """A variable that has to be set is not, or the form is unknown; the text is for the user."""


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its variables put in. A variable that is not set is empty.

    `${A-word}`, `${A?why}` and `${A+word}` ask whether A is set; with a colon, also whether it is
    not empty. `$$` is a dollar sign. Raises MissingVariable; words within words are not supported.
    """
    return _VARIABLE.sub(lambda match: _value(match, environ), text)


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    name = match["plain"] or match["name"]
    if name is None:
        raise MissingVariable(f"{match.string[:60]!r} has a $ that begins no variable; write $$")
    how, word = match["how"] or "-", match["word"] or ""
    value = environ.get(name)
    is_there = bool(value) if how.startswith(":") else value is not None
    if how.endswith("+"):
        return word if is_there else ""
    if is_there:
        return value or ""
    if how.endswith("?"):
        raise MissingVariable(f"variable {name} is not set" + (f": {word}" if word else ""))
    return word


def env_file(text: str) -> dict[str, str]:
    """The variables of a `.env` file: NAME=VALUE lines, quotes around a value taken off."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
