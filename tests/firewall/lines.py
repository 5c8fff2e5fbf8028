"""Connections of which a test has both ends, and changes that may cut them."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from pathlib import Path

from tests.firewall.lab import Lab
from tests.support.namespaces import network_namespace, socket_in
from volt_agent.firewall.revoke import Survivors, revoked
from volt_agent.kernel.conntrack import forget
from volt_agent.model.snapshot import Change, Object

HOST = IPv4Address("192.0.2.1")
# Seconds: what is alive answers in 1 ms, what is cut is sent again after 0.2 s and then 0.4 s.
GUARD, PATIENT = 0.7, 3.0


class Line:
    """A TCP connection of which the test has both ends."""

    def __init__(self, bed: Lab, source: str, target: str, port: int, behind: tuple[str, int]):
        """From `source` to `target`, where the workload and port `behind` answer."""
        where, its_port = behind
        with socket_in(bed.path(where), socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", its_port))
            listener.listen()
            listener.settimeout(PATIENT)
            self.client = socket_in(bed.path(source), socket.AF_INET, socket.SOCK_STREAM)
            self.client.settimeout(PATIENT)
            self.client.connect((target, port))
            self.server, _address = listener.accept()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client.close()
        self.server.close()

    def lives(self, sender: str) -> bool:
        """Whether what one end sends comes to the other, before TCP would send it twice more."""
        ends = (self.server, self.client) if sender == "server" else (self.client, self.server)
        ends[1].settimeout(GUARD)
        try:
            ends[0].sendall(b"x")
            return ends[1].recv(100) != b""
        except OSError:
            return False


def commit(bed: Lab, *put: Object, delete: tuple[Object, ...] = ()) -> int:
    """A change and what follows it in the agent; how many connections were cut."""
    old = bed.snapshot
    change = Change(put=put, delete=delete)
    bed.snapshot = old.apply(change)
    bed.run(bed.firewall.apply(bed.snapshot, change))
    flows = revoked(old, bed.snapshot, change)
    if not flows:
        return 0
    with network_namespace(Path(bed.path("host"))):
        return forget(flows, Survivors(old, bed.snapshot, [HOST]).spare)
