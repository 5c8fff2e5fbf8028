"""UDP after a change: the next datagram goes where it should now, whatever went before it.

A client that keeps its port keeps its entry in conntrack too: without a cut the kernel would go on
translating, and letting through, as it did for the first datagram.
"""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from tests.firewall.lab import DB, SNAPSHOT, WEB, Lab
from tests.firewall.lines import HOST, PATIENT, commit
from tests.firewall.objects import forward, policy, rule
from tests.support.namespaces import socket_in
from volt_agent.model.snapshot import Change, Object

pytestmark = pytest.mark.kernel

PORT, HOST_PORT = 53, 8000
SILENCE = 0.2  # seconds; a datagram is there when send() returns, unless it is dropped


@pytest.fixture(scope="module")
def bed() -> Iterator[Lab]:
    bed = Lab()
    yield bed
    bed.close()


class Datagrams:
    """One client that always sends from the same port, and servers that answer."""

    def __init__(self, bed: Lab, source: str, target: str, port: int) -> None:
        self._servers = {name: _bound(bed, name, PORT) for name in ("web", "app", "host")}
        self._client = _bound(bed, source, 0)
        self._client.connect((target, port))
        self._numbers = itertools.count()

    def __enter__(self) -> Datagrams:
        return self

    def __exit__(self, *_exception: object) -> None:
        for each in (self._client, *self._servers.values()):
            each.close()

    def answered_by(self, expected: str | None) -> str | None:
        """Which server the next datagram reaches, if its answer comes back; None if it is lost."""
        within = SILENCE if expected is None else PATIENT
        token = str(next(self._numbers)).encode()
        self._client.send(token)
        while ready := select.select([*self._servers.values(), self._client], [], [], within)[0]:
            for name, server in self._servers.items():
                if server in ready:
                    data, sender = server.recvfrom(100)
                    server.sendto(data + b" " + name.encode(), sender)
            if self._client in ready:
                number, _space, answering = self._client.recv(100).partition(b" ")
                if number == token:
                    return answering.decode()
        return None


def _bound(bed: Lab, where: str, port: int) -> socket.socket:
    sock = socket_in(bed.path(where), socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    return sock


FORWARD = forward("udp 8000", "web", PORT)
MANY = forward("udp 7990-8100", "web", PORT - 10)
OF_ADDRESS = forward("udp 8000", "app", PORT, str(HOST))
TO_HOST = rule("to-host", 1, "accept", "outside", "host", "udp 53")
ACROSS = rule("across", 1, "accept", "cache", "web", "udp 53")
ALLOW = policy("allow", "allow", "app", "web", "udp 53")
VIA_HOST = ("outside", str(HOST), HOST_PORT)
FROM_APP = ("app", str(WEB.address), PORT)

# What is there, the way, who answers before, the change, who answers after it.
CASES: dict[
    str, tuple[tuple[Object, ...], tuple[str, str, int], str | None, Change, str | None]
] = {
    "a forward that comes": ((), VIA_HOST, None, Change(put=(FORWARD,)), "web"),
    "a forward that goes": ((FORWARD,), VIA_HOST, "web", Change(delete=(FORWARD,)), None),
    "a range that comes": ((), VIA_HOST, None, Change(put=(MANY,)), "web"),
    "a range that goes": ((MANY,), VIA_HOST, "web", Change(delete=(MANY,)), None),
    "a forward to somebody else": (
        (FORWARD,),
        VIA_HOST,
        "web",
        Change(put=(replace(FORWARD, target="app"),)),
        "app",
    ),
    "a forward of one address": ((FORWARD,), VIA_HOST, "web", Change(put=(OF_ADDRESS,)), "app"),
    "one of two forwards that goes": (
        (FORWARD, OF_ADDRESS),
        VIA_HOST,
        "app",
        Change(delete=(OF_ADDRESS,)),
        "web",
    ),
    "a target that moves": (
        (FORWARD,),
        VIA_HOST,
        "web",
        Change(put=(replace(WEB, address=IPv4Address("10.0.0.55")),)),
        None,
    ),
    "a rule behind a forward": (
        (FORWARD,),
        VIA_HOST,
        "web",
        Change(put=(rule("no", 1, "drop", "outside", "web", "udp 53"),)),
        None,
    ),
    "a rule that drops": (
        (),
        FROM_APP,
        "web",
        Change(put=(rule("no", 1, "drop", "app", "web", "udp 53"),)),
        None,
    ),
    "an accept that goes": (
        (ACROSS,),
        ("cache", str(WEB.address), PORT),
        "web",
        Change(delete=(ACROSS,)),
        None,
    ),
    "an accept of the host that goes": (
        (TO_HOST,),
        ("outside", str(HOST), PORT),
        "host",
        Change(delete=(TO_HOST,)),
        None,
    ),
    "the first policy on a target": (
        (),
        ("db", str(WEB.address), PORT),
        "web",
        Change(put=(ALLOW,)),
        None,
    ),
    "a policy that goes": (
        (ALLOW, policy("other", "allow", "db", "web")),
        FROM_APP,
        "web",
        Change(delete=(ALLOW,)),
        None,
    ),
    "something else": (
        (FORWARD,),
        VIA_HOST,
        "web",
        Change(put=(forward("udp 8001", "app", PORT),)),
        "web",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_next_datagram_goes_where_it_should(bed: Lab, name: str) -> None:
    """Twice before, so that the flow is established, and twice after."""
    present, way, before, change, after = CASES[name]
    bed.load(SNAPSHOT.apply(Change(put=(DB, *present))))
    with Datagrams(bed, *way) as datagrams:
        assert [datagrams.answered_by(before) for _ in range(2)] == [before] * 2
        commit(bed, *change.put, delete=change.delete)
        assert [datagrams.answered_by(after) for _ in range(2)] == [after] * 2
