"""`volt-keep`: a process that holds descriptors for another one, and does nothing else.

The agent gives it the two sockets of a tunnel under a key, with a note; if the agent dies, its
connection here ends, and the next one is given what the dead one left. So the holder has to live
longer than any agent: it has no configuration, no state and nothing that could fail but memory.

One record (SOCK_SEQPACKET) is one request; the key is 16 octets::

    +KEY NOTE, with two descriptors    hold them
    -KEY                               close them
    ?                                  give back what nobody owns; it is mine then
       answered by +KEY NOTE with descriptors for each, and a last "."

What nobody has asked for within ORPHANED seconds is closed: there is no agent any more.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NAME = "keep.sock"  # beside the agent's control socket
KEY_SIZE = 16
RECORD_MAX = 4096  # bytes of a request
DESCRIPTORS = 2  # of an entry
ORPHANED = 60.0
_CLIENTS_MAX = 8  # agents at once: the old one, the new one, and those that are about to end
_SEND_TIMEOUT = 5.0  # seconds for an agent to take what it has asked for


class Entry:
    """What is held. `owner` is whose it is, None since that agent is gone (`since`, monotonic)."""

    __slots__ = ("descriptors", "note", "owner", "since")

    def __init__(self, note: bytes, descriptors: Sequence[int], owner: socket.socket) -> None:
        self.note, self.descriptors = note, descriptors
        self.owner: socket.socket | None = owner
        self.since = 0.0

    def close(self) -> None:
        for each in self.descriptors:
            os.close(each)


class Holder:
    """Holds what its clients give it; `listening` is a Unix socket (SOCK_SEQPACKET)."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._entries: dict[bytes, Entry] = {}
        self._clients: set[socket.socket] = set()
        self._ready = selectors.DefaultSelector()
        self._ready.register(listening, selectors.EVENT_READ)

    def run(self) -> None:
        """Forever."""
        while True:
            for key, _ in self._ready.select(ORPHANED / 2):
                self._turn(key.fileobj)
            self._close_orphans(time.monotonic())

    def _turn(self, ready: object) -> None:
        if ready is self._listening:
            self._accept()
        elif isinstance(ready, socket.socket):
            try:
                while True:
                    self._take(ready)
            except BlockingIOError:
                pass
            except OSError:
                self._leave(ready)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listening.accept()
            if len(self._clients) >= _CLIENTS_MAX:
                client.close()
                return
            client.settimeout(_SEND_TIMEOUT)
            self._clients.add(client)
            self._ready.register(client, selectors.EVENT_READ)

    def _take(self, client: socket.socket) -> None:
        """One request. Raises OSError for one that makes no sense: whoever sent it is not believed
        any further."""
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        data, descriptors, got, _ = socket.recv_fds(client, RECORD_MAX, DESCRIPTORS, flags)
        kind, key, note = data[:1], data[1 : KEY_SIZE + 1], data[KEY_SIZE + 1 :]
        if kind == b"+" and len(descriptors) == DESCRIPTORS and not got & socket.MSG_CTRUNC:
            self._drop(key)
            self._entries[key] = Entry(note, descriptors, client)
            return
        for each in descriptors:
            os.close(each)
        if kind == b"-":
            self._drop(key)
        elif kind == b"?":
            self._give_back(client)
        else:
            raise OSError("no request")

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.close()

    def _give_back(self, client: socket.socket) -> None:
        for key, entry in self._entries.items():
            if entry.owner is None:
                socket.send_fds(client, [b"+" + key + entry.note], entry.descriptors)
                entry.owner = client
        client.send(b".")

    def _leave(self, client: socket.socket) -> None:
        self._ready.unregister(client)
        self._clients.discard(client)
        client.close()
        for entry in self._entries.values():
            if entry.owner is client:
                entry.owner, entry.since = None, time.monotonic()

    def _close_orphans(self, now: float) -> None:
        late = [
            key
            for key, entry in self._entries.items()
            if entry.owner is None and now - entry.since > ORPHANED
        ]
        for key in late:
            self._drop(key)


def holder_beside(socket_path: str | Path) -> Path:
    """Where the holder of the agent with this control socket listens, if there is one."""
    return Path(socket_path).parent / NAME


def listen(path: str) -> socket.socket:
    """A socket for agents of root alone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(_CLIENTS_MAX)
    return listening


def main() -> None:
    """`python -m volt_agent.handover.holder PATH`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Holder(listen(sys.argv[1])).run()


if __name__ == "__main__":
    main()
