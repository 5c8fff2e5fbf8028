"""Values of a file, each with its path, its mistakes, and what volt has no use for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ..errors import VoltError
from .variables import MissingVariable, substitute


class Reader:
    """Collects `mistakes` and `ignored` keys, both as sentences that begin with a path."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.mistakes: list[str] = []
        self.ignored: list[str] = []

    def mistake(self, path: str, problem: str) -> None:
        self.mistakes.append(f"{path}: {problem}")

    def refused(self, path: str, error: VoltError) -> None:
        """A mistake in the words of the decision that found it."""
        hint = f"; {error.hint}" if error.hint else ""
        self.mistake(path, f"{error.message}{hint}")

    def ignore(self, path: str, reason: str = "not something that volt sets up") -> None:
        self.ignored.append(f"{path} is ignored: {reason}")

    def mapping(self, path: str, value: object) -> Mapping[str, object]:
        """A mapping; nothing at all is an empty one."""
        if isinstance(value, dict):
            return value
        if value is not None:
            self.mistake(path, f"expected a mapping, got {kind_of(value)}")
        return {}

    def sequence(self, path: str, value: object) -> list[object]:
        """A list; nothing at all is an empty one."""
        if isinstance(value, list):
            return value
        if value is not None:
            self.mistake(path, f"expected a list, got {kind_of(value)}")
        return []

    def text(self, path: str, value: object) -> str | None:
        """Text or a number as text, variables put in; None for nothing and for a mistake."""
        if value is None:
            return None
        if isinstance(value, bool | float | list | dict):
            self.mistake(path, f"expected text, got {kind_of(value)}")
            return None
        try:
            return substitute(str(value), self._environ)
        except MissingVariable as error:
            self.mistake(path, str(error))
            return None

    def flag(self, path: str, value: object) -> bool:
        """`true` or `false`, also as text from a variable; nothing is false."""
        if value is None or isinstance(value, bool):
            return bool(value)
        text = self.text(path, value)
        if text is not None and text.lower() not in ("true", "false"):
            self.mistake(path, f"expected true or false, got {shown(text)}")
        return text is not None and text.lower() == "true"

    def number(self, path: str, value: object) -> int | None:
        """A whole number, also as text."""
        text = self.text(path, value)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            self.mistake(path, f"expected a number, got {shown(text)}")
            return None
        return int(text)

    def ignore_others(self, path: str, found: Mapping[str, object], known: Collection[str]) -> None:
        """Name every key of `found` but the known ones and extensions (`x-...`)."""
        for key in found:
            if key not in known and not key.startswith("x-"):
                self.ignore(f"{path}.{key}".lstrip("."))


def items(path: str, values: list[object]) -> Iterator[tuple[str, object]]:
    """The values of a list with their paths."""
    for place, value in enumerate(values):
        yield f"{path}[{place}]", value


def shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def kind_of(value: object) -> str:
    """What a value is, in words of YAML."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else shown(str(value))
