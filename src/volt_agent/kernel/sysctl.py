"""Settings under /proc/sys/net, which belong to the network namespace of the calling thread.

Only `net` is within reach: the rest of /proc/sys belongs to the whole machine, and some of it
(kernel.core_pattern, kernel.modprobe) runs commands as root.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .refusals import Explained

ROOT = Path("/proc/sys")
_PART = re.compile(r"[^/\s\0]+")
_KEY_MAX, _VALUE_MAX = 256, 1024


def key_path(key: str) -> str:
    """The path below /proc/sys of a key written with dots or with slashes, as in sysctl.d(5).

    Whichever comes first separates; the other is then part of a name, such as that of the interface
    `eth0.5` in `net/ipv4/conf/eth0.5/rp_filter` or `net.ipv4.conf.eth0/5.rp_filter`. Raises OSError
    (EINVAL) for anything but a path below `net`.
    """
    separator = re.search(r"[./]", key)
    if separator is not None and separator.group() == ".":
        key = key.translate(str.maketrans("./", "/."))
    parts = key.split("/")
    if len(key) > _KEY_MAX or len(parts) < 2 or parts[0] != "net":
        raise Explained(errno.EINVAL, "keys begin with net.")
    if any(part in (".", "..") or not _PART.fullmatch(part) for part in parts):
        raise Explained(errno.EINVAL, "malformed key")
    return key


def dotted(key: str) -> str:
    """The one form of a key in which volt shows and keeps it: with dots between the names, as
    sysctl.d(5) has it. Raises as `key_path`."""
    return key_path(key).translate(str.maketrans("./", "/."))


def matching(pattern: str) -> Iterator[str]:
    """The keys, with dots, that a shell pattern matches; a word without `*`, `?` or `[` matches
    wherever it stands. There are a hundred keys for each interface; those of one whose name cannot
    be printed are left out."""
    if not any(each in pattern for each in "*?["):
        pattern = f"*{pattern}*"
    for folder, folders, files in os.walk(ROOT / "net"):
        folders.sort()
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            key = path.translate(str.maketrans("./", "/."))
            if not key.isprintable():
                continue
            if fnmatch.fnmatchcase(key, pattern) or fnmatch.fnmatchcase(path, pattern):
                yield key


def check_value(value: str) -> None:
    """Raises Explained (EINVAL) for what is not one line of printable ASCII."""
    if len(value) > _VALUE_MAX or not value.isprintable() or not value.isascii():
        raise Explained(errno.EINVAL, "malformed value")


def read(key: str) -> str | None:
    """The value, stripped; None if there is no such key. Raises OSError."""
    path = ROOT / key_path(key)
    try:
        return path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(key: str, value: str) -> None:
    """Set the value. Raises OSError: ENOENT (no such key), EINVAL (no such value), EACCES."""
    path = ROOT / key_path(key)
    check_value(value)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Explained(errno.ENOENT, "there is no such setting") from None
    try:
        os.write(handle, value.encode() + b"\n")
    finally:
        os.close(handle)
