"""One agent per network namespace: two would take each other's links and rules away.

The claim is an abstract Unix socket (unix(7)): its name belongs to the network namespace, and the
kernel lets go of it with the process, however that ends. Anybody may take such a name, so a claim
counts only if root or volt's own user holds it.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from contextlib import suppress

from ..errors import Refused

log = logging.getLogger(__name__)

NAME = "\0volt-agent"
_UCRED = struct.Struct("3i")  # struct ucred of SO_PEERCRED: pid, uid, gid


def claim_namespace() -> socket.socket:
    """The claim on this network namespace: keep it open. Raises Refused if an agent has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(NAME)
        claim.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            claim.close()
            raise
        holder = _holder()
        if holder is not None:
            claim.close()
            raise Refused(
                f"another agent is at work in this network namespace (process {holder})",
                "stop it first, or start this one in a namespace of its own",
            ) from None
    return claim


def inherited_claim(descriptor: int) -> socket.socket:
    """The claim that another agent has left to this one: `descriptor` is of its socket."""
    claim = socket.socket(fileno=descriptor)
    with suppress(OSError):
        claim.listen(1)  # from now on this process is named as the holder (SO_PEERCRED)
    return claim


def _holder() -> int | None:
    """The process that has the claim; None if it is none of volt's, or just ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(NAME)
        except BlockingIOError:  # many ask at once: somebody listens there
            return 0
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(credentials)
    if uid in (0, os.geteuid()):
        return int(pid)
    log.warning("user %d holds the name by which volt's agents tell each other apart", uid)
    return None
