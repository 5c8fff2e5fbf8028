"""Network namespaces: which one is this, and being in another for a moment.

A thread, not a process, is in a network namespace (setns(2)). Only worker threads go elsewhere, and
they are back before anybody else's work runs on them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000  # linux/sched.h
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
_OWN = "/proc/thread-self/ns/net"
# os.setns came with Python 3.12.
_libc = ctypes.CDLL(None, use_errno=True)


class StrandedError(RuntimeError):
    """The thread could not go back to its own namespace: nothing else may run on it any more."""


def identity(path: str) -> str | None:
    """What stands at `path`, as "DEVICE:INODE": the same for two names of one namespace.

    None if nothing does. The kernel may use an inode again once its namespace is gone.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino}"


def is_namespace(path: str) -> bool:
    """Whether `path` is a network namespace (and not a file on which one is yet to be mounted)."""
    try:
        # All namespaces live on one file system. Nothing else is opened: that may block (a FIFO)
        # or have effects (a device).
        if os.stat(path).st_dev != os.stat(_OWN).st_dev:
            return False
        handle = open_namespace(path)
    except OSError:
        return False
    try:
        return fcntl.ioctl(handle, _NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(handle)


def open_namespace(path: str) -> int:
    """A descriptor of the namespace at `path`; the caller closes it. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Have this thread in the network namespace of the descriptor `namespace` for the block.

    Raises OSError if it cannot go there (EINVAL: not a network namespace, EPERM: no CAP_SYS_ADMIN
    over it), StrandedError if it cannot come back.
    """
    home = open_namespace(_OWN)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _return(home)
    finally:
        os.close(home)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _return(home: int) -> None:
    try:
        _enter(home)
    except OSError as error:
        raise StrandedError(f"cannot return to the agent's network namespace: {error}") from error
