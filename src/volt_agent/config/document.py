"""Text -> plain values: the small part of YAML that a configuration file needs.

Plain words mean what YAML 1.2's core schema says (section 10.3.2), with less: `true` and `false`,
decimal numbers, `null` and `~`; everything else is text. YAML 1.1, which PyYAML implements, reads
`22:22` as 1342, `010` as 8 and `no` as false. Aliases, tags and further documents are refused: a
configuration needs none of them, and aliases can blow up a small file ("billion laughs"). A Compose
file may have aliases and merge keys (`<<`): there an alias is the same value once more, not a copy.

The values are built from the parser's events, not by PyYAML's composer: that one recurses in C and
crashes the process (SIGSEGV, measured) on some ten thousand opening brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

# The schema is five levels deep.
DEPTH_MAX = 20

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# More digits than any value has; int() takes quadratic time (CVE-2020-10735).
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}")


class Malformed(Exception):
    """The text cannot be read to its end. `line` counts from 1; 0 where it is not known."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class Document:
    """A document as plain values: None, bool, int, float, str, list, dict with text keys.

    `value` is None for an empty document. `repeated` has the dotted path of every key that stands
    twice in its mapping, and the line of the second one; the first one counts.
    """

    def __init__(self, text: str, aliases: bool = False) -> None:
        """Raises Malformed at the first thing that is not YAML or not supported.

        With `aliases` a value may occur in several places, so nobody may change or unfold it.
        """
        self.repeated: list[tuple[str, int]] = []
        self._anchors: dict[str, object] | None = {} if aliases else None
        self._events = _events(text)
        self.value = self._document()

    def _document(self) -> object:
        value = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise Malformed("a second document starts (---)", _line(event))
            elif isinstance(event, NodeEvent):
                value = self._node(event, "", 0)
        return value

    def _node(self, event: Event, path: str, depth: int) -> object:
        if isinstance(event, AliasEvent) and self._anchors is not None:
            return self._aliased(event, self._anchors)
        _refuse_unsupported(event, depth)
        value = self._content(event, path, depth)
        anchor = getattr(event, "anchor", None)
        if anchor is not None and self._anchors is not None:
            self._anchors[anchor] = value
        return value

    def _content(self, event: Event, path: str, depth: int) -> object:
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path, depth)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        assert isinstance(event, ScalarEvent)
        return plain_word(event.value) if event.implicit[0] else event.value

    def _aliased(self, event: AliasEvent, anchors: dict[str, object]) -> object:
        if event.anchor not in anchors:
            raise Malformed(f"there is no anchor &{event.anchor} before it", _line(event))
        return anchors[event.anchor]

    def _sequence(self, path: str, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), CollectionEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        while not isinstance(event := next(self._events), CollectionEndEvent):
            if not isinstance(event, ScalarEvent):
                raise Malformed("expected a key, got a list, a mapping or an alias", _line(event))
            where = f"{path}.{event.value}".lstrip(".")
            value = self._node(next(self._events), where, depth + 1)
            if event.value in items:
                self.repeated.append((where, _line(event)))
            items.setdefault(event.value, value)
        if self._anchors is not None and "<<" in items:
            _merge(items, _line(event))
        return items


def _merge(items: dict[str, object], line: int) -> None:
    """Put in what `<<` names (YAML 1.1's merge key): what the mapping has itself wins."""
    merged = items.pop("<<")
    for each in merged if isinstance(merged, list) else [merged]:
        if not isinstance(each, dict):
            raise Malformed("<< takes a mapping or a list of mappings", line)
        for key, value in each.items():
            items.setdefault(key, value)


def plain_word(text: str) -> object:
    """What a plain (unquoted) scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _events(text: str) -> Iterator[Event]:
    """The parser's events; its errors as Malformed."""
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if not isinstance(event, StreamEndEvent):
                yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (-1, -1) if mark is None else (mark.line, mark.column)
        raise Malformed(_explained(error, _character(text, line, column)), line + 1) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        raise Malformed(f"{error.reason}", before.count("\n") + 1) from None


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line][column : column + 1] if 0 <= line < len(lines) else ""


def _explained(error: yaml.MarkedYAMLError, at: str) -> str:
    """What libyaml says, but for the two mistakes that are common and that it puts darkly."""
    problem = error.problem or "not YAML"
    if at == "\t":
        return "a tab where indentation or a value is expected; indent with spaces"
    if problem == "found character that cannot start any token":
        return f"text that begins with {at!r} needs quotes"
    return f"{error.context}, {problem}" if error.context else problem


def _refuse_unsupported(event: Event, depth: int) -> None:
    if isinstance(event, AliasEvent):
        raise Malformed(f"aliases (*{event.anchor}) are not supported", _line(event))
    if depth > DEPTH_MAX:
        raise Malformed(f"nested more than {DEPTH_MAX} levels deep", _line(event))
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise Malformed(f"tags ({tag[:60]}) are not supported", _line(event))


def _line(event: Event) -> int:
    mark = event.start_mark
    return 0 if mark is None else mark.line + 1
