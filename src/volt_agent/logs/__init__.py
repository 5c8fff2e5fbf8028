"""Structured logging to stderr: lines for people on a terminal, JSON lines otherwise.

Code logs as usual, `log = logging.getLogger(__name__)`, with what varies in fields::

    log.warning("no answer", extra=fields(upstream="1.1.1.1", tries=3))

A terminal shows `12:34:56.789 warning dns.forward: no answer upstream=1.1.1.1 tries=3`; anything
else (journald, a file, a pipe) gets one JSON object per line.

`lines`    from a record to a line, as text or JSON
`output`   from a line to the stream, without ever making the agent wait
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import IO

from ..errors import Invalid
from .lines import PACKAGE, JsonLines, TextLines
from .output import Output, sink

__all__ = ["LEVELS", "fields", "setup"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """What varies in a message, as the `extra` of a logging call."""
    return {"fields": values}


def setup(level: str, stream: IO[str]) -> Output:
    """Log to `stream` from now on; the returned handler's `close` ends that.

    `level` is one of LEVELS and concerns volt; of libraries only warnings are logged. May be called
    again, with another level or stream. Raises Invalid for an unknown level.
    """
    if level not in LEVELS:
        raise Invalid(f"log level {level!r} is unknown", f"use one of {', '.join(LEVELS)}")
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, Output)]:
        handler.close()
    output = Output(sink(stream))
    output.setFormatter(TextLines(LEVELS[level]) if stream.isatty() else JsonLines())
    root.addHandler(output)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger(PACKAGE).setLevel(LEVELS[level])
    return output
