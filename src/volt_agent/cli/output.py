"""How results are printed: aligned tables for people, JSON and YAML for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from msgspec import json, to_builtins

Format = Literal["table", "json", "yaml"]
FORMATS: tuple[Format, ...] = ("table", "json", "yaml")

T = TypeVar("T")
# A column's header, and what a row has there.
Column = tuple[str, Callable[[T], object]]

GREEN, YELLOW, RED = "32", "33", "31"
# Words of these columns only; everything else stays in the terminal's own colour.
COLOURED_COLUMNS = ("STATUS", "STATE")
COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("up", "ready", "running", "attached", "loaded", "active", "valid"), GREEN),
    **dict.fromkeys(("degraded", "pending", "starting", "stopping", "settling", "issuing"), YELLOW),
    **dict.fromkeys(("missing", "failed", "absent", "unreachable"), RED),
}

GAP = "  "


def table(rows: Sequence[T], columns: Sequence[Column[T]], *, colour: bool = False) -> str:
    """`rows` under upper-case headers, each column as wide as its widest cell."""
    headers = [header for header, _ in columns]
    cells = [headers, *([cell(read(row)) for _, read in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "".join(_line(line, headers, widths, colour) for line in cells)


def fields(pairs: Sequence[tuple[str, object]], *, colour: bool = False) -> str:
    """One `label:  value` per line, the values aligned."""
    width = max(len(label) for label, _ in pairs) + 1
    lines = []
    for label, value in pairs:
        text = cell(value)
        shown = coloured(text, colour and label.upper() in COLOURED_COLUMNS)
        lines.append(f"{label + ':':<{width}}{GAP}{shown}\n")
    return "".join(lines)


def section(title: str, body: str) -> str:
    """`body` under a title, after an empty line."""
    return f"\n{title}\n{body}"


def bullets(title: str, sentences: Sequence[str], width: int | None = None) -> str:
    """`sentences` as a list under a title; nothing where there are none."""
    texts = [wrapped(f"- {printable(each)}", width, 2) for each in sentences]
    return section(title, "".join(texts)) if sentences else ""


def wrapped(text: str, width: int | None, indent: int) -> str:
    """`text` in lines of at most `width`, broken between words, all but the first indented by
    `indent`. None: one line, however long, as programs like it."""
    if width is None or len(text) <= width:
        return f"{text}\n"
    from textwrap import fill

    hanging = " " * indent
    shown = fill(
        text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
    return f"{shown}\n"


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`1 route`, `2 routes`, `no routes`."""
    return f"{number or 'no'} {noun if number == 1 else many or noun + 's'}"


def lines(texts: Sequence[str]) -> str:
    return "".join(f"{printable(each)}\n" for each in texts)


def cell(value: object) -> str:
    """A value as text for people: `-` for nothing, yes and no, lists with commas.

    Characters that a terminal would act on become `?`: process and host names are not ours.
    """
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(cell(each) for each in value)
    return printable(str(value))


def printable(text: str) -> str:
    """`text` without control characters, so that nobody can steer the terminal through it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "?" for each in text)


def in_short(text: str | None, room: int = 120) -> str | None:
    """`text` without its middle if it is longer than `room`: both ends tell most."""
    if text is None or len(text) <= room:
        return text
    return f"{text[: room - 33]}... {text[-28:].lstrip()}"


def coloured(word: str, colour: bool) -> str:
    code = COLOURS.get(word) if colour else None
    return f"\x1b[{code}m{word}\x1b[0m" if code else word


def as_json(value: object) -> str:
    """Pretty-printed; the keys are those of the messages, in their order."""
    return json.format(json.encode(value), indent=2).decode() + "\n"


def as_yaml(value: object) -> str:
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(to_builtins(value), Dumper=dumper, sort_keys=False, allow_unicode=True)
    return text


def _line(cells: list[str], headers: list[str], widths: list[int], colour: bool) -> str:
    padded = []
    for text, header, width in zip(cells, headers, widths, strict=True):
        shown = coloured(text, colour and header in COLOURED_COLUMNS)
        padded.append(shown + " " * (width - len(text)))
    return GAP.join(padded).rstrip() + "\n"
