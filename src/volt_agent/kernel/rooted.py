"""Files of a container, and never of the host: openat2(2) with RESOLVE_IN_ROOT.

Whoever is root in a container may turn any of its files and folders into a link; a plain open(2)
through /proc/PID/root would follow an absolute one to the host's files.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_OPENAT2 = 437  # on every architecture
_NO_MAGICLINKS, _IN_ROOT = 0x02, 0x10  # linux/openat2.h
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: str, flags: int) -> int:
    """A descriptor of `path` where "/" is the directory `root`, links included. Raises OSError."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _IN_ROOT | _NO_MAGICLINKS)
    name, size = os.fsencode(path), ctypes.c_size_t(ctypes.sizeof(how))
    opened = int(_libc.syscall(_OPENAT2, root, name, ctypes.byref(how), size))
    if opened >= 0:
        return opened
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return open_without_links(root, path, flags)
    raise OSError(number, os.strerror(number), path)


def open_without_links(root: int, path: str, flags: int) -> int:
    """The same where openat2 is not to be had: no part of `path` may be a link. Raises OSError.

    systemd's RestrictSUIDSGID= answers ENOSYS, because a filter cannot look into its argument.
    """
    folder, _, rest = path.partition("/")
    way = os.O_PATH | os.O_DIRECTORY if rest else flags
    opened = os.open(folder, way | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    if not rest:
        return opened
    try:
        return open_without_links(opened, rest, flags)
    finally:
        os.close(opened)


@contextmanager
def folder_of_process(pid: int, path: str) -> Iterator[int]:
    """A descriptor of the folder `path` as process `pid` sees it. Raises OSError."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(root)
    try:
        yield folder
    finally:
        os.close(folder)
