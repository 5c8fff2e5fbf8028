"""Tunnels are held by another process while they last, and found there again after a crash.

The holder (`handover.holder`) is optional: where there is none, tunnels end with the agent. One
that comes back after its own end is given everything anew, within a second.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from operator import length_hint
from pathlib import Path

from ..handover.connections import Kept, Malformed, decode_kept, encode_kept
from ..handover.holder import DESCRIPTORS, KEY_SIZE, RECORD_MAX
from .carry import endpoint_of, tunnel_state
from .kept import KeptEnd
from .poller import IN, NEVER, Poller
from .positions import advance, recover
from .proxy import Proxy
from .sockets import adopted
from .targets import Target
from .tunnel import TunnelEnd

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two tries of what could not be done
_AT_ONCE = 16  # tunnels taken back in one event: 0.1 ms each
_CREDENTIALS = struct.Struct("@iII")  # struct ucred: pid, uid, gid
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


class HolderKeeper:
    """See the module. `find` has the targets by the names of their routes."""

    def __init__(self, proxy: Proxy, path: Path, find: Callable[[str], Target | None]) -> None:
        self._proxy, self._path, self._find = proxy, path, find
        self._poller: Poller = proxy.poller
        self._holder: socket.socket | None = None
        self._keys: dict[TunnelEnd, bytes] = {}  # by the clients' ends: what is held
        self._waiting: dict[TunnelEnd, None] = {}  # what is not held yet
        self._gone: list[bytes] = []  # what the holder has not been told of
        self.recovered = self.lost = 0
        self.deadline = NEVER

    def __repr__(self) -> str:
        state = "no holder" if self._holder is None else "with holder"
        return f"<HolderKeeper [{state}, {len(self._keys)} held, {len(self._waiting)} waiting]>"

    def start(self) -> bool:
        """Ask for what the last agent has left; False if there is no holder."""
        if not self._connect():
            return False
        self._poller.watch(self)
        self.deadline = self._poller.now + _LOOK
        return True

    def close(self) -> None:
        """Take leave. What is still held there is for the next agent."""
        self._poller.unwatch(self)
        self._tell_gone()
        self._disconnect()

    # ---- tunnels --------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        return len(self._keys)

    def keep(self, near: TunnelEnd) -> None:
        if isinstance(near, KeptEnd) and not self._hold(near):
            self._waiting[near] = None

    def keep_later(self, near: TunnelEnd) -> None:
        self._waiting[near] = None
        self.deadline = 0.0

    def let_go(self, end: TunnelEnd) -> None:
        self._waiting.pop(end, None)
        key = self._keys.pop(end, None)
        if key is not None:
            self._gone.append(key)
            self._tell_gone()

    def _hold(self, near: KeptEnd) -> bool:
        """Give it to the holder, but not while something waits in memory, where nobody finds it."""
        far, target = near.peer, self._proxy.tunnels.get(near)
        if self._holder is None or not isinstance(far, KeptEnd) or target is None:
            return False
        if not (near.is_clear and far.is_clear):
            return False
        key = os.urandom(KEY_SIZE)
        try:
            forth, back = advance(near.sock, far.sock), advance(far.sock, near.sock)
            note = encode_kept(Kept(tunnel_state(near, far, target), forth, back))
            record = b"+" + key + note
            if len(record) <= RECORD_MAX:
                socket.send_fds(self._holder, [record], [near.fd, far.fd])
        except OSError:
            return False
        self._keys[near] = key
        return True

    def _tell_gone(self) -> None:
        """The connections end when the last descriptor is closed, and the holder has one."""
        with suppress(OSError):
            while self._gone and self._holder is not None:
                self._holder.send(b"-" + self._gone[-1])
                self._gone.pop()

    def expire(self) -> None:
        """Do what could not be done before."""
        self.deadline = self._poller.now + _LOOK
        if self._holder is None and not self._connect():
            return
        self._tell_gone()
        self._hold_all(iter([*self._waiting]))

    def _hold_all(self, ends: Iterator[TunnelEnd]) -> None:
        """A few in each turn of the loop."""
        for near in islice(ends, _AT_ONCE):
            if near in self._waiting and isinstance(near, KeptEnd) and self._hold(near):
                del self._waiting[near]
        if self._waiting and length_hint(ends):
            self._poller.soon(partial(self._hold_all, ends))

    # ---- the holder -----------------------------------------------------------------------------

    def _connect(self) -> bool:
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            holder.connect(str(self._path))
            if not _is_trusted(holder):
                raise PermissionError("it belongs to somebody else")
            holder.send(b"?")
        except OSError:
            holder.close()
            return False
        self._holder = holder
        self._poller.add(holder.fileno(), IN, self._event)
        log.info("tunnels survive a crash: %s holds them", self._path)
        return True

    def _disconnect(self) -> None:
        if self._holder is not None:
            self._poller.remove(self._holder.fileno())
            self._holder.close()
            self._holder = None

    def _event(self, _mask: int) -> None:
        holder = self._holder
        try:
            for _ in range(_AT_ONCE):
                if holder is None or not self._take(holder):
                    break
        except BlockingIOError:
            pass
        except OSError:
            log.warning("tunnels do not survive a crash: nobody is there at %s", self._path)
            self._disconnect()
            self._gone.clear()
            self._waiting.update(dict.fromkeys(self._keys))
            self._keys.clear()

    def _take(self, holder: socket.socket) -> bool:
        """One record; False after the last. Raises OSError."""
        record, descriptors, _, _ = socket.recv_fds(holder, RECORD_MAX, DESCRIPTORS, _FLAGS)
        if not record:
            raise ConnectionResetError("the holder is gone")
        key = record[1 : KEY_SIZE + 1]
        if record[:1] != b"+" or len(descriptors) != DESCRIPTORS:
            self._say()
            return False
        try:
            self._adopt(key, decode_kept(record[KEY_SIZE + 1 :]), descriptors)
            self.recovered += 1
        except (OSError, Malformed) as error:
            log.debug("a tunnel cannot go on: %s", error)
            self.lost += 1
            self._gone.append(key)
            self._tell_gone()
        return True

    def _adopt(self, key: bytes, kept: Kept, descriptors: list[int]) -> None:
        """Raises OSError if it is over; then its sockets are closed."""
        near, far = (adopted(each) for each in descriptors)
        try:
            recover(near, far, kept.forth, kept.back)
            target = self._find(kept.tunnel.route)
            if target is None:
                raise ConnectionAbortedError("its route is gone")
        except OSError:
            near.close()
            far.close()
            raise
        endpoint = endpoint_of(target, kept.tunnel)
        end = self._proxy.adopt_tunnel(near, far, kept.tunnel, target, endpoint)
        self._keys[end] = key

    def _say(self) -> None:
        if self.recovered or self.lost:
            log.info("%d tunnels go on after a crash, %d do not", self.recovered, self.lost)


def _is_trusted(holder: socket.socket) -> bool:
    """Whether root or ourselves listen there: they get our connections."""
    size = _CREDENTIALS.size
    _, uid, _ = _CREDENTIALS.unpack(holder.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return uid in (0, os.geteuid())
