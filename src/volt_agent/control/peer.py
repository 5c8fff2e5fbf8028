"""Who is calling: the credentials of the process at the other end of a Unix socket."""

from __future__ import annotations

import grp
import os
import socket
import struct

from msgspec import Struct

# asm-generic/socket.h; Python's socket module does not name it.
SO_PEERGROUPS = 59
# Python's getsockopt takes at most 1024 bytes, which is room for 256 groups of four bytes each.
_GROUPS_BUFFER = 1024
_UCRED = struct.Struct("3i")

GROUP_NAME = "volt"


class Peer(Struct, frozen=True):
    """A calling process as it was when it connected. `groups` includes the primary one."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected Unix socket.

    SO_PEERCRED has only the primary group, the supplementary ones come with SO_PEERGROUPS (Linux
    4.13). A caller in more than 256 groups counts as being in none of the supplementary ones.
    """
    pid, uid, gid = _UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return Peer(pid, uid, frozenset((gid, *_supplementary_groups(sock))))


def _supplementary_groups(sock: socket.socket) -> tuple[int, ...]:
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BUFFER)
    except OSError:  # ERANGE: more groups than fit
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


class Access(Struct, frozen=True):
    """Who may use the RPC: root, the agent's own user, and members of one group."""

    uid: int
    group: int | None

    def allows(self, peer: Peer) -> bool:
        return peer.uid in (0, self.uid) or self.group in peer.groups


def access_of_this_process() -> Access:
    """Access for the user this agent runs as, and for group `volt` where there is one."""
    return Access(os.geteuid(), volt_group())


def volt_group() -> int | None:
    """The id of group `volt`, None where it does not exist."""
    try:
        return grp.getgrnam(GROUP_NAME).gr_gid
    except KeyError:
        return None
