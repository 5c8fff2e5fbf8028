"""The doors of the ingress: a port for each scheme, open while a route needs it.

A port that somebody else has is tried again from time to time, and says who has it.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from ..kernel.host import Listener as Listening
from ..kernel.host import listening_ports
from ..model.route import Scheme
from ..service import ServiceManager
from . import sockets

log = logging.getLogger(__name__)

State = Literal["listening", "closed", "busy"]


class Acceptor(Protocol):
    """What takes connections from one socket until it is closed; the socket stays open."""

    def close(self) -> None: ...


class DoorState(Struct, frozen=True):
    """How it is with a scheme. `reason` says why it is not listening although it should."""

    scheme: Scheme
    port: int
    state: State
    reason: str | None = None


class Doors:
    """`accept` begins to take connections from a socket; it is not asked before `start`."""

    def __init__(
        self, manager: ServiceManager, accept: Callable[[Scheme, socket.socket], Acceptor]
    ) -> None:
        self._manager, self._accept = manager, accept
        self._wanted: Mapping[Scheme, int] = {}
        self._open: dict[Scheme, _Door] = {}
        self._refused: dict[Scheme, OSError] = {}
        self._owners: dict[Scheme, str] = {}
        self._has_started = False

    def __repr__(self) -> str:
        return f"<Doors [{', '.join(f'{s}: {d.port}' for s, d in self._open.items()) or 'shut'}]>"

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, sorted."""
        return tuple(sorted(each.port for each in self._open.values()))

    @property
    def refused(self) -> Mapping[Scheme, OSError]:
        """Why schemes that are wanted have no door."""
        return self._refused

    def want(self, ports: Mapping[Scheme, int]) -> bool:
        """Have exactly these ports open, as far as they are free; whether anything is different."""
        if ports == self._wanted:
            return False
        self._wanted = dict(ports)
        for scheme, door in list(self._open.items()):
            if ports.get(scheme) != door.port:
                self._shut(scheme)
        self._refused, self._owners = {}, {}
        self.retry()
        return True

    def retry(self) -> None:
        """Try to open what is missing."""
        for scheme in self._wanted:
            if scheme not in self._open:
                self._try_to_open(scheme)

    def start(self) -> None:
        """Take connections, now and from whatever opens later."""
        self._has_started = True
        for scheme, door in self._open.items():
            door.accept(self._accept, scheme)

    def look_for_owners(self) -> None:
        """Find out who has the ports that are refused. Reads /proc: call it in a thread."""
        listening = listening_ports(loopback=True)
        owners = {scheme: _owner(self._wanted[scheme], listening) for scheme in [*self._refused]}
        self._owners = {scheme: owner for scheme, owner in owners.items() if owner is not None}

    def states(self, usual: Mapping[Scheme, int]) -> list[DoorState]:
        """How it is with each scheme; `usual` are the ports they would have."""
        return [self._state(scheme, port) for scheme, port in usual.items()]

    def close(self) -> None:
        """Take no more connections. What the service manager keeps stays open there: connections
        wait for the next agent."""
        for door in self._open.values():
            door.close()
        self._open.clear()
        self._wanted = {}

    # ---- inside ---------------------------------------------------------------------------------

    def _try_to_open(self, scheme: Scheme) -> None:
        port = self._wanted[scheme]
        try:
            door = _Door(port, sockets.obtain(self._manager, scheme, port))
        except OSError as error:
            self._refused[scheme] = error
            return
        self._refused.pop(scheme, None)
        self._owners.pop(scheme, None)
        self._open[scheme] = door
        if self._has_started:
            door.accept(self._accept, scheme)

    def _shut(self, scheme: Scheme) -> None:
        self._open.pop(scheme).close()
        sockets.forget(self._manager, scheme)

    def _state(self, scheme: Scheme, port: int) -> DoorState:
        if scheme in self._open:
            return DoorState(scheme, port, "listening")
        error = self._refused.get(scheme)
        if error is None:
            return DoorState(scheme, port, "closed")
        reason = self._owners.get(scheme) or _words(error, port)
        return DoorState(scheme, port, "busy", reason)


class _Door:
    def __init__(self, port: int, listening: list[socket.socket]) -> None:
        self.port = port
        self._sockets = listening
        self._acceptors: list[Acceptor] = []

    def accept(self, accept: Callable[[Scheme, socket.socket], Acceptor], scheme: Scheme) -> None:
        self._acceptors = [accept(scheme, each) for each in self._sockets]

    def close(self) -> None:
        for each in (*self._acceptors, *self._sockets):
            each.close()


def _owner(port: int, listening: list[Listening]) -> str | None:
    for each in listening:
        if each.protocol == "tcp" and each.port == port:
            where = f"[{each.address}]" if ":" in each.address else each.address
            return f"{each.process or 'a process'} listens on {where}:{port}"
    return None


def _words(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another process has port {port}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} is for root only"
    return os.strerror(error.errno or 0)
