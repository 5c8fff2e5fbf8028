"""The resolv.conf of machines: in the file system that their first process sees.

The machine's own file is kept beside volt's and comes back when the machine leaves its networks. A
link (systemd-resolved makes one) is a file like any other: it is replaced, never followed.
Blocking: call it off the loop.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress

from ..kernel.rooted import folder_of_process
from .resolvconf import MARK

log = logging.getLogger(__name__)

NAME, KEPT, _FRESH = "resolv.conf", "resolv.conf.before-volt", ".resolv.conf.volt"
SIZE_MAX = 64 << 10  # read of a file that a container's root has written
# The machine has ended under our hands.
_GONE = (errno.ENOENT, errno.ESRCH)


class MachineResolvConf:
    """Writes and restores the files; says once for each machine when it may not."""

    def __init__(self) -> None:
        # Leaders whose file was written: what they make of it afterwards is their own.
        self._written: set[int] = set()
        self._refused: set[int] = set()

    def write(self, leader: int, text: str) -> None:
        """Put `text` in place atomically, unless the machine has replaced volt's file since."""
        try:
            with folder_of_process(leader, "etc") as etc:
                present = _read(etc)
                ours = present is not None and present.startswith(MARK)
                if present == text or (leader in self._written and not ours):
                    return
                if not ours:
                    _keep(etc)
                _replace(etc, text)
                self._written.add(leader)
        except OSError as error:
            if error.errno not in _GONE and leader not in self._refused:
                log.warning("cannot write resolv.conf for process %d: %s", leader, error.strerror)
                self._refused.add(leader)

    def restore(self, leader: int) -> None:
        """Bring the machine's own file back; one that replaced volt's stays."""
        with suppress(OSError), folder_of_process(leader, "etc") as etc:
            present = _read(etc)
            if present is None or not present.startswith(MARK):
                _unlink(etc, KEPT)
            elif _exists(etc, KEPT):
                os.rename(KEPT, NAME, src_dir_fd=etc, dst_dir_fd=etc)
            else:
                _unlink(etc, NAME)
        self.forget(leader)

    def forget(self, leader: int) -> None:
        """The machine of this leader has ended."""
        self._written.discard(leader)
        self._refused.discard(leader)


def _read(etc: int) -> str | None:
    """The text of a plain file; None for anything else, or nothing."""
    try:
        # What is there may be a FIFO, or a link to one.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(NAME, flags, dir_fd=etc)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return os.read(handle, SIZE_MAX).decode(errors="replace")
    finally:
        os.close(handle)


def _keep(etc: int) -> None:
    """Keep the machine's own file, or link, under another name."""
    _unlink(etc, KEPT)
    with suppress(FileNotFoundError):
        os.link(NAME, KEPT, src_dir_fd=etc, dst_dir_fd=etc, follow_symlinks=False)


def _replace(etc: int, text: str) -> None:
    """Raises OSError: EBUSY where somebody has mounted a file there, EROFS."""
    _unlink(etc, _FRESH)
    handle = os.open(
        _FRESH, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=etc
    )
    with open(handle, "w") as file:
        owner = os.fstat(etc)
        with suppress(OSError):  # refused where the container's users are not mapped
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fchmod(handle, 0o644)
        file.write(text)
    try:
        os.rename(_FRESH, NAME, src_dir_fd=etc, dst_dir_fd=etc)
    except OSError:
        _unlink(etc, _FRESH)
        _unlink(etc, KEPT)
        raise


def _exists(etc: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=etc, follow_symlinks=False)
        return True
    return False


def _unlink(etc: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=etc)
