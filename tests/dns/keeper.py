"""A service manager that keeps sockets in memory, from one life of a name server to the next."""

from __future__ import annotations

import socket

from volt_agent.service import ServiceManager


class Keeper(ServiceManager):
    """The store of a service manager. `next_life` hands over what is kept."""

    def __init__(self) -> None:
        super().__init__({})
        self.kept: dict[str, socket.socket] = {}
        self._handed_over: dict[str, socket.socket] = {}

    def next_life(self) -> None:
        self._handed_over = {name: sock.dup() for name, sock in self.kept.items()}

    def inherited(self, name: str) -> socket.socket | None:
        return self._handed_over.pop(name, None)

    def keep(self, name: str, sock: socket.socket) -> None:
        self.forget(name)
        self.kept[name] = sock.dup()

    def forget(self, name: str) -> None:
        if name in self.kept:
            self.kept.pop(name).close()

    def close(self) -> None:
        for each in (*self.kept.values(), *self._handed_over.values()):
            each.close()
