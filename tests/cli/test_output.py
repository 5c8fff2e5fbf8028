"""Tables, colours and text that nobody can steer a terminal with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.cli import output
from volt_agent.cli.session import Session
from volt_agent.cli.status import duration

COLUMNS: Sequence[output.Column[tuple[Any, ...]]] = (
    ("NAME", lambda row: row[0]),
    ("STATUS", lambda row: row[1]),
    ("N", lambda row: row[2]),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_text_in_a_table_keeps_its_ends() -> None:
    """The beginning says what it is, the end when it is tried again."""
    text = "failed: " + "x" * 200 + ", next try 13:05"
    shown = output.in_short(text)
    assert shown is not None
    assert len(shown) <= 120
    assert shown.startswith("failed: xxx")
    assert shown.endswith("xxx, next try 13:05")
    assert (output.in_short("short"), output.in_short(None)) == ("short", None)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """No trailing blanks."""
    rows = [("a", "up", 1), ("longer", "", 10)]
    assert output.table(rows, COLUMNS) == (
        "NAME    STATUS  N\n"
        "a       up      1\n"
        "longer  -       10\n"
    )  # fmt: skip


def test_colours_do_not_move_columns() -> None:
    """Only words of the status, only where asked for."""
    table = output.table([("up", "up", 1), ("b", "missing", 2)], COLUMNS, colour=True)
    assert table.splitlines()[1] == "up    \x1b[32mup\x1b[0m       1"
    assert table.splitlines()[2] == "b     \x1b[31mmissing\x1b[0m  2"


def test_a_terminal_gets_lines_that_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a pipe gets each sentence in one piece."""
    monkeypatch.setenv("COLUMNS", "80")
    assert Session({}, Terminal()).width == 80
    assert Session({}, io.StringIO()).width is None


@given(st.lists(st.text("abc-./", min_size=1, max_size=30)).map(" ".join))
def test_wrapped_text_loses_no_word(text: str) -> None:
    """Lines are at most as wide as asked for, and words, which may be commands, stay whole."""
    shown = output.wrapped(f"ok    {text}", 60, 20)
    assert shown.split() == f"ok {text}".split()
    assert all(len(line) <= 60 for line in shown.splitlines())
    assert all(line.startswith(" " * 20) for line in shown.splitlines()[1:])
    assert output.wrapped(text, None, 20) == f"{text}\n"


@pytest.mark.parametrize(
    ("environ", "terminal", "colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_when_there_are_colours(environ: dict[str, str], terminal: bool, colour: bool) -> None:
    """On terminals, unless NO_COLOR is set and not empty (no-color.org)."""
    out = Terminal() if terminal else io.StringIO()
    assert Session(environ, out).colour is colour


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (["a", None], "a,-"),
        ("a\nb", "a?b"),
    ],
)
def test_cells(value: object, text: str) -> None:
    """Everything has a short form."""
    assert output.cell(value) == text


@given(st.lists(st.tuples(st.text(), st.text(), st.integers()), max_size=5))
def test_a_table_is_lines_of_printable_text(rows: list[tuple[Any, ...]]) -> None:
    """One line per row, whatever is in it."""
    lines = output.table(rows, COLUMNS).split("\n")
    assert len(lines) == len(rows) + 2
    assert all(line.isprintable() for line in lines)


@given(st.text())
def test_printable_changes_nothing_else(text: str) -> None:
    """As many characters as before, the harmless ones untouched."""
    shown = output.printable(text)
    assert len(shown) == len(text)
    assert all(new in (old, "?") for old, new in zip(text, shown, strict=True))


def test_problems_only_where_there_are_some() -> None:
    """No title above nothing."""
    assert output.bullets("Problems", []) == ""
    assert output.bullets("Problems", ["one"]) == "\nProblems\n- one\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m 1s"), (3600, "1h"), (90061, "1d 1h")],
)
def test_durations(seconds: float, text: str) -> None:
    """The two largest units."""
    assert duration(seconds) == text
