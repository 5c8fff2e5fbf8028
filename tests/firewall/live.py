"""What a live host has and shows: sessions that run, rules in force, doors that are shut."""

from __future__ import annotations

import re
import socket
import time
from typing import Self

from tests.firewall.lab import Lab
from tests.support.namespaces import socket_in

WITHIN = 60  # seconds; what works takes milliseconds
HOST, OUTSIDE = "192.0.2.1", "192.0.2.2"


class Session:
    """A TCP connection between two namespaces, both ends in our hands."""

    def __init__(self, lab: Lab, client: str, server: str, address: str, port: int) -> None:
        self._listener = socket_in(lab.path(server), socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("", port))
        self._listener.listen()
        self._listener.settimeout(WITHIN)
        self.client = socket_in(lab.path(client), socket.AF_INET, socket.SOCK_STREAM)
        self.client.settimeout(WITHIN)
        self.client.connect((address, port))
        self.server, _ = self._listener.accept()
        self.server.settimeout(WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for each in (self.client, self.server, self._listener):
            each.close()

    def upload(self) -> bool:
        return _passes(self.client, self.server)

    def download(self) -> bool:
        return _passes(self.server, self.client)


def _passes(source: socket.socket, target: socket.socket) -> bool:
    source.sendall(b"x" * 5000)
    left = 5000
    while left:
        left -= len(target.recv(left))
    return True


def handles(lab: Lab) -> str:
    """Both tables with the kernel's handles, without counts: another text if one was remade."""
    tables = (
        lab.sh("host", "nft", "--handle", "list", "table", family, "volt")
        for family in ("inet", "bridge")
    )
    return re.sub(r"packets \d+ bytes \d+", "", "".join(tables))


def can_connect(lab: Lab, client: str, address: str, port: int, within: float) -> bool:
    with socket_in(lab.path(client), socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(within)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return False
        return True


def wait_until_dropped(lab: Lab, counter: str, before: int) -> None:
    deadline = time.monotonic() + WITHIN
    while lab.drops()[counter] == before:
        assert time.monotonic() < deadline, f"{counter} counts nothing"
