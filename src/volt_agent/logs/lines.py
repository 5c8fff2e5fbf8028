"""From a record to a line.

JSON has `time` (RFC 3339, UTC, milliseconds), `level`, `logger`, `message`, the fields, and
`exception`, the traceback, where there is one. A log call must never fail: a record that cannot be
shown as it is leads to a line that says so. What a stranger can name (workloads, hosts) can neither
forge a line nor command a terminal, and fields that are named like secrets are not shown.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

PACKAGE = "volt_agent"
# journald splits lines at 48 KB (LineMax= in journald.conf(5)).
LINE_MAX = 16 * 1024

_SECRET = re.compile(r"password|passwd|secret|token|hmac|private_key|authorization|cookie")
_TAKEN = frozenset(("time", "level", "logger", "message", "exception"))


class JsonLines(logging.Formatter):
    """One JSON object per record, without the line's end."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            line = msgspec.json.encode(_entry(record), enc_hook=_text).decode()
            if len(line) <= LINE_MAX:
                return line
            reason = f"cut, it had {len(line)} characters"
        except Exception as error:
            reason = f"fields left out: {type(error).__name__}"
        return msgspec.json.encode({**_head(record), "incomplete": reason}).decode()


class TextLines(logging.Formatter):
    """One line per record for a person at a terminal; with tracebacks below if `level` is DEBUG."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._shows_tracebacks = level <= logging.DEBUG

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        name = record.name.removeprefix(f"{PACKAGE}.")
        head = f"{clock} {record.levelname.lower():7} {name}: {_message(record)}"
        lines = [" ".join([head, *_pairs(record)])[:LINE_MAX]]
        if self._shows_tracebacks and record.exc_info:
            lines += _traceback(record).splitlines()
        return "\n    ".join(map(_printable, lines))


def _entry(record: logging.LogRecord) -> dict[str, object]:
    entry = _head(record)
    for name, value in _fields(record).items():
        entry[f"{name}_" if name in _TAKEN else name] = value
    if record.exc_info:
        entry["exception"] = _traceback(record)[-LINE_MAX // 2 :]
    return entry


def _head(record: logging.LogRecord) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.created, UTC)
    return {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record)[: LINE_MAX // 4],
    }


def _message(record: logging.LogRecord) -> str:
    try:
        return _encodable(record.getMessage())
    except Exception as error:
        return f"{_text(record.msg)} (its arguments do not fit: {type(error).__name__})"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The record's fields; what is named like a secret is not shown."""
    found = getattr(record, "fields", {})
    if not isinstance(found, Mapping):
        found = {"fields": found}
    return {
        _text(name): "..." if _SECRET.search(_text(name).lower()) else _plain(value)
        for name, value in found.items()
    }


def _plain(value: object) -> object:
    return _encodable(value) if isinstance(value, str) else value


def _pairs(record: logging.LogRecord) -> list[str]:
    pairs = [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        place = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" at {each.filename}:{each.lineno}" for each in place)
        pairs.append(f"exception={_quoted(f'{type(error).__name__}: {_text(error)}{where}')}")
    return pairs


def _quoted(value: object) -> str:
    """A value as text, in quotes where it would not end at the next space."""
    text = _text(value)
    is_plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if is_plain else msgspec.json.encode(text).decode()


def _traceback(record: logging.LogRecord) -> str:
    assert record.exc_info
    return _encodable("".join(traceback.format_exception(record.exc_info[1]))).rstrip("\n")


def _text(value: object) -> str:
    try:
        return _encodable(str(value))
    except Exception as error:
        return f"({type(value).__name__} without a text: {type(error).__name__})"


def _encodable(text: str) -> str:
    """Without lone surrogates, which file names can bring and UTF-8 cannot express."""
    return text.encode("utf-8", "backslashreplace").decode()


def _printable(line: str) -> str:
    """Without what could forge a line or command a terminal."""
    if line.isprintable():
        return line
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )
