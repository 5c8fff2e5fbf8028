"""The file -> Config."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .check import check
from .mistakes import ConfigError, Mistakes
from .schema import Config

# A full configuration has some 2 KB.
FILE_MAX = 64 * 1024


def load(path: Path, *, required: bool = False) -> Config:
    """Read the file at `path`; raises ConfigError with all its mistakes.

    An absent file means the defaults, unless it is `required` (the user named it). Blocks for as
    long as reading a small local file takes.
    """
    try:
        data = _read(path)
    except FileNotFoundError as error:
        if required:
            raise ConfigError((f"{path.name}: cannot be read: {error.strerror}",)) from None
        return Config()
    except OSError as error:
        raise ConfigError((f"{path.name}: cannot be read: {error.strerror}",)) from None
    return parse(data, path.name)


def parse(data: bytes, name: str = "config.yaml") -> Config:
    """The configuration in `data`, the bytes of a file called `name`. Raises as `load` does."""
    # Imported here: without a file, which is how many agents run, nobody waits for the library.
    from .document import Document, Malformed

    mistakes = Mistakes(name)
    try:
        if len(data) > FILE_MAX:
            raise Malformed(f"longer than {FILE_MAX} bytes")
        document = Document(_decode(data))
    except Malformed as error:
        mistakes.add(f"line {error.line}" if error.line else "", error.problem)
        raise mistakes.error() from None
    for where, line in document.repeated:
        mistakes.add(where, f"expected once, got it again on line {line}")
    config = check(document.value, mistakes)
    if mistakes.paths:
        raise mistakes.error()
    return config


def _read(path: Path) -> bytes:
    """The file's bytes, one more than FILE_MAX at most. Raises OSError."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(FILE_MAX + 1)


def _open_at_once(path: str, flags: int) -> int:
    """Opening a FIFO without a writer would wait for one."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decode(data: bytes) -> str:
    from .document import Malformed

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Malformed("not UTF-8", line) from None
