"""Which interface names can be made, and which index a name has here."""

from __future__ import annotations

import errno
import re
import socket

from .refusals import Explained

# dev_valid_name in net/core/dev.c: 1 to 15 bytes, not "." or "..", no "/", ":" or white space. "%"
# too: the kernel would take "a%d" for a pattern and make "a0".
_VALID = re.compile(rb"(?!\.\.?\Z)[^/:%\s\0]{1,15}")


def check_interface(name: str) -> None:
    """Raises Explained (EINVAL) if no interface can have this name."""
    if not _VALID.fullmatch(name.encode()):
        raise Explained(
            errno.EINVAL,
            f"{name[:40]!r} is no interface name: 1 to 15 bytes without spaces and any of / : %",
        )


def index_of(name: str) -> int:
    """The ifindex of `name` in the calling thread's namespace. Raises Explained (ENODEV)."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise Explained(errno.ENODEV, f"there is no interface {name}") from None
