"""inotify(7) for one folder at a time: names that come and go."""

from __future__ import annotations

import ctypes
import os
import struct

IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x40, 0x80, 0x100, 0x200
IN_DELETE_SELF, IN_Q_OVERFLOW, IN_ONLYDIR = 0x400, 0x4000, 0x1000000
_WATCHED = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR
_HEADER = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len
_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """Watches folders. `fileno` becomes readable when something happened in one of them."""

    def __init__(self) -> None:
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._folders: dict[int, str] = {}

    def fileno(self) -> int:
        return self._fd

    def watch(self, folder: str) -> bool:
        """Watch `folder`; False if there is no such folder yet."""
        number = _libc.inotify_add_watch(self._fd, folder.encode(), _WATCHED)
        if number >= 0:
            self._folders[number] = folder
        return bool(number >= 0)

    def read(self) -> list[tuple[str, str, int]]:
        """What happened since: (folder, name, mask), in order; [] when nothing did.

        IN_Q_OVERFLOW comes with an empty folder and name: read the folders again.
        """
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return []
        seen, offset = [], 0
        while offset < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
            offset += length
            seen.append((self._folders.get(number, ""), name, mask))
        return seen

    def close(self) -> None:
        os.close(self._fd)
