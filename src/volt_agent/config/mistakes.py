"""What is wrong with a file, collected and in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import Invalid
from .readers import Unfit

# Beyond it the rest is counted: nobody reads on, and a wrong file could have thousands.
MISTAKES_MAX = 50
# How much of a path, a value and a whole problem is shown.
PATH_MAX, SHOWN_MAX, PROBLEM_MAX = 200, 60, 500

_KINDS: dict[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    type(None): "nothing",
}
_WORDS: dict[object, str] = {None: "nothing", True: "true", False: "false"}


class ConfigError(Invalid):
    """The file cannot be used. `mistakes` has one line for each, `FILE: PATH: expected ...`.

    `message` is all of them: this is the one error that has several lines.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes), "nothing was changed: correct the file and try again")
        self.mistakes = mistakes


class Mistakes:
    """Collects the mistakes of the file `name`; `paths` are the keys that have one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self.paths: set[str] = set()

    def add(self, path: str, problem: str) -> None:
        self.paths.add(path)
        where = f"{_one_line(path, PATH_MAX)}: " if path else ""
        self._lines.append(f"{self._name}: {where}{_one_line(problem, PROBLEM_MAX)}")

    def unfit(self, path: str, error: Unfit, got: str) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        self.add(path, f"expected {error.expected}, got {got}{hint}")

    @property
    def are_too_many(self) -> bool:
        """Whether further ones will only be counted."""
        return len(self._lines) >= MISTAKES_MAX

    def concern(self, *paths: str) -> bool:
        """Whether any of `paths` has a mistake."""
        return not self.paths.isdisjoint(paths)

    def error(self) -> ConfigError:
        lines = self._lines[:MISTAKES_MAX]
        if len(self._lines) > MISTAKES_MAX:
            lines.append(f"{self._name}: and {len(self._lines) - MISTAKES_MAX} more mistakes")
        return ConfigError(tuple(lines))


def shown(value: object) -> str:
    """A value as a mistake shows it."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, dict | list):
        return kind_of(value)
    return _one_line(repr(value), SHOWN_MAX)


def kind_of(value: object) -> str:
    """What a value is, without showing it."""
    return _KINDS.get(type(value), "a number")


def suggestion(key: str, known: tuple[str, ...], everywhere: Iterable[str]) -> str:
    """What an unknown key may have been meant to be: one of its section, or of another one."""
    close = difflib.get_close_matches(key[:SHOWN_MAX], known, n=1)
    elsewhere = [path for path in everywhere if path.rpartition(".")[2] == key]
    if close or elsewhere:
        return f"did you mean {(close or elsewhere)[0]}?"
    return f"expected one of {', '.join(known)}"


def _one_line(text: str, most: int) -> str:
    """`text` without what could break a line or a terminal, and not longer than `most`."""
    clean = "".join(each if each.isprintable() else "?" for each in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."
