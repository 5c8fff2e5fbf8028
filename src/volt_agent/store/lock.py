"""One agent per directory."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ..errors import Refused, StoreFailed

LOCK_NAME = "state.lock"


class DirectoryLock:
    """Holds `directory` for this process until `release`, or until the process ends in any way.

    flock(2): the kernel lets go of it with the last descriptor, so no stale lock can stay behind.
    The file remains; it holds the process id of its last owner, for messages only.
    """

    def __init__(self, directory: Path) -> None:
        """Make `directory` (0700) where it is missing, and take it. Raises Refused if another
        agent has it, StoreFailed if it cannot be used."""
        try:
            make_private(directory)
            self._fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed(f"cannot use {directory}: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sign()
        except OSError as error:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise _refusal(directory, owner, error) from None

    @classmethod
    def inherited(cls, descriptor: int) -> DirectoryLock:
        """The lock that another process holds by the same open file (flock(2)): it stays locked
        until both have closed it. `descriptor` is ours from now on."""
        found = cls.__new__(cls)
        found._fd = descriptor
        with suppress(OSError):
            found._sign()
        return found

    def fileno(self) -> int:
        return self._fd

    def release(self) -> None:
        os.close(self._fd)

    def _sign(self) -> None:
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            # The lock holds without a signature: a full disk must not keep the agent from starting.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise


def make_private(directory: Path) -> None:
    """Make `directory` and what leads to it, durably; leave it alone if it is there."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _refusal(directory: Path, owner: str, error: OSError) -> Refused | StoreFailed:
    if error.errno != errno.EWOULDBLOCK:
        return StoreFailed(f"cannot lock {directory}: {error.strerror}")
    process = f" (process {owner})" if owner.isdigit() else ""
    return Refused(
        f"another agent{process} is using {directory}",
        "stop it first, or choose another --state-dir",
    )
