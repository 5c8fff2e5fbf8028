"""Network namespaces and mounts: the few system calls that Python 3.11 lacks (os.setns is 3.12)."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_BIND = 0x1000  # linux/mount.h
MNT_DETACH = 2

NAMED = Path("/run/netns")
NAMED_ETC = Path("/etc/netns")  # ip-netns(8): files that replace those of /etc in a namespace
# Where a private host keeps the namespace on the far side of its uplink: not under /run/netns,
# because whatever stands there is a workload to volt.
OUTSIDE = Path("/run/host/outside")

_libc = ctypes.CDLL(None, use_errno=True)


def path_of(where: str) -> Path:
    """The namespace file of "host", "outside" or a named namespace."""
    if where == "host":
        return Path("/proc/1/ns/net")
    return OUTSIDE if where == "outside" else NAMED / where


@contextmanager
def network_namespace(path: Path) -> Iterator[None]:
    """Be in another network namespace for the block. Only the calling thread moves."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(there, CLONE_NEWNET), str(path))
        finally:
            os.close(there)
        try:
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "back home")
    finally:
        os.close(home)


def add_namespace(path: Path) -> float:
    """Make a network namespace and pin it at `path`, as `ip netns add` does.

    Returns the monotonic time (seconds) of the moment from which the path is a namespace.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0))
    try:
        _check(_libc.unshare(CLONE_NEWNET), "new network namespace")
        try:
            born = time.monotonic()
            bind_mount(Path("/proc/thread-self/ns/net"), path)
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "back home")
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(home)
    return born


def delete_namespace(path: Path) -> float:
    """Undo `add_namespace`. The namespace lives on while a process or socket is in it.

    Returns the monotonic time (seconds) from which the path is no namespace any more.
    """
    died = time.monotonic()
    _check(_libc.umount2(os.fsencode(path), MNT_DETACH), str(path))
    path.unlink()
    return died


def bind_mount(source: Path, target: Path) -> None:
    _mount(os.fsencode(source), target, b"none", MS_BIND, b"")


def mount(kind: str, target: Path, options: str = "") -> None:
    """Mount a new file system of `kind` at `target`."""
    _mount(kind.encode(), target, kind.encode(), 0, options.encode())


def socket_in(where: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A non-blocking socket that lives in the namespace `where`, wherever it is used."""
    with network_namespace(path_of(where)):
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def names() -> list[str]:
    """The named namespaces there are, sorted."""
    with suppress(FileNotFoundError):
        return sorted(entry.name for entry in NAMED.iterdir())
    return []


def _mount(source: bytes, target: Path, kind: bytes, flags: int, options: bytes) -> None:
    done = _libc.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), options)
    _check(done, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
