"""Files of a container, and never of the host: openat2(2) with RESOLVE_IN_ROOT.

Whoever is root in a container may turn any of its files and folders into a link; a plain open(2)
through /proc/PID/root would follow an absolute one to the host's files.
"""

from __future__ import annotations

import ctypes
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
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return opened


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
