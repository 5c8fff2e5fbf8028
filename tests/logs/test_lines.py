"""What a log line looks like."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.logs import fields
from volt_agent.logs.lines import LINE_MAX, JsonLines, TextLines

LOGGER = "volt_agent.dns.forward"
log = logging.getLogger(LOGGER)


def record(text: object, *args: object, **values: object) -> logging.LogRecord:
    made = log.makeRecord(LOGGER, logging.WARNING, "f", 1, text, args, None, extra=fields(**values))
    made.created = 1700000000.0625
    return made


def failed(error: Exception) -> logging.LogRecord:
    made = record("failed")
    try:
        raise error
    except Exception:
        made.exc_info = sys.exc_info()
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(made)
    assert "\n" not in line
    entry: dict[str, Any] = json.loads(line)
    return entry


def as_text(made: logging.LogRecord, level: int = logging.INFO) -> str:
    return TextLines(level).format(made)


def test_a_json_line() -> None:
    """Time in UTC with milliseconds, level, logger, message, then the fields as they are."""
    assert as_json(record("no answer from %s", "1.1.1.1", tries=3, tcp=True, of=["a"])) == {
        "time": "2023-11-14T22:13:20.062Z",
        "level": "warning",
        "logger": "volt_agent.dns.forward",
        "message": "no answer from 1.1.1.1",
        "tries": 3,
        "tcp": True,
        "of": ["a"],
    }


def test_a_text_line() -> None:
    """Short for a person: local time, volt's own logger names cut, values quoted when needed."""
    line = as_text(record("no answer", upstream="1.1.1.1", why="timed out", empty="", n=None))
    assert re.fullmatch(r"\d\d:\d\d:20\.062 warning dns\.forward: no answer (.*)", line)
    assert line.endswith('upstream=1.1.1.1 why="timed out" empty="" n=None')


def test_fields_cannot_take_the_place_of_the_message() -> None:
    """A field named like one of the line's own gets an underscore."""
    entry = as_json(record("real", message="forged", level="debug"))
    assert (entry["message"], entry["message_"]) == ("real", "forged")
    assert (entry["level"], entry["level_"]) == ("warning", "debug")


@pytest.mark.parametrize("name", ["password", "Secret", "eab_hmac_key", "api_token", "cookie"])
def test_secrets_are_not_shown(name: str) -> None:
    """A field named like a secret keeps its value to itself, in both forms."""
    made = record("x", **{name: "s3cret"})
    assert as_json(made)[name] == "..."
    assert "s3cret" not in as_text(made)


def test_exceptions_are_one_field() -> None:
    """JSON carries the whole traceback in `exception`; a person sees what and where."""
    entry = as_json(failed(ValueError("bad\nnews")))
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["exception"].endswith("ValueError: bad\nnews")
    line = as_text(failed(ValueError("bad\nnews")))
    assert re.search(r'failed exception="ValueError: bad\\nnews at .*test_lines\.py:\d+"$', line)
    assert "Traceback" in as_text(failed(ValueError("x")), logging.DEBUG)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    "made",
    [
        record("%d tries", "many"),
        record("%s %s", "one"),
        record("%s", Unprintable()),
        record("x", value=Unprintable()),
        record("x", value={1: {2: Unprintable()}}),
        record("\udcff", name="\udcff"),
        record("x", nested=["\udcff"]),
        record("x", big="y" * 100_000),
        record("x" * 100_000),
        record(None, x=float("nan"), y=b"\xff", z={1, 2}, w=object),
    ],
)
def test_a_log_call_never_fails(made: logging.LogRecord) -> None:
    """Whatever is logged, there is a line, and it is not too long."""
    line = JsonLines().format(made)
    assert json.loads(line)["level"] == "warning"
    assert len(line) <= LINE_MAX
    assert len(as_text(made)) <= LINE_MAX + 100


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3))
def test_any_text_stays_on_its_line(message: str, values: dict[str, object]) -> None:
    """Strangers' names in a message can neither forge a line nor command a terminal."""
    made = log.makeRecord(LOGGER, 20, "f", 1, "%s", (message,), None, extra={"fields": values})
    assert as_json(made)["message"].encode() == message.encode("utf-8", "backslashreplace")
    assert as_text(made).isprintable()
