"""Taps: Ethernet ports for virtual machines (Documentation/networking/tuntap.rst)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from .interface_names import check_interface
from .refusals import Explained

_DEVICE = "/dev/net/tun"
# linux/if_tun.h
_SET_INTERFACE, _SET_PERSISTENT = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000
_REQUEST = struct.Struct("=16sH22x")  # struct ifreq


@contextmanager
def new_tap(name: str) -> Iterator[None]:
    """Make a tap that stays if the block ends well, and goes if it raises. Raises OSError.

    IFF_VNET_HDR is left to the virtual machine monitor: each opener sets it anew (tun_set_iff), so
    that both those that use offloads and those that do not can open the same tap.
    """
    check_interface(name)
    device = _open()
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL
        fcntl.ioctl(device, _SET_INTERFACE, _REQUEST.pack(name.encode(), flags))
        yield
        fcntl.ioctl(device, _SET_PERSISTENT, 1)
    finally:
        os.close(device)


def _open() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        words = f"{_DEVICE} cannot be opened ({error.strerror})"
        raise Explained(error.errno, words) from error
