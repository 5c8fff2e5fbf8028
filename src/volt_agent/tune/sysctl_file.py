"""/etc/sysctl.d/90-volt.conf: one `key = value` per line, for `sysctl --system` and systemd-sysctl.

Both read it at boot, in the order of the file names over all directories (sysctl.d(5)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import Failed, Refused

PATH = Path("/etc/sysctl.d/90-volt.conf")
_MARK = "# Written by volt"
_HEADER = f"{_MARK}: change it with `volt tune`; what is edited here is lost.\n"


def content(kept: Mapping[str, str]) -> str:
    """The text of the file; empty where nothing is kept."""
    lines = [f"{name} = {value}\n" for name, value in sorted(kept.items())]
    return "".join([_HEADER, *lines]) if lines else ""


def save(path: Path, text: str) -> None:
    """Put `text` in place atomically and durably; the file goes where it is empty. Blocks.

    Raises Refused for a file of somebody else's, Failed if the disk does not take it.
    """
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(_MARK):
            raise Refused(f"{path} was not written by volt", "move it away, or use --runtime")
        if text:
            _replace(path, text)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        hint = "nothing is changed; --runtime sets it until the next boot"
        raise Failed(f"cannot write {path}: {error.strerror}", hint) from None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")  # no *.conf: nobody reads it
    try:
        with temporary.open("w") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
