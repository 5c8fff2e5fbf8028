"""ICMP errors: true ones arrive, those about the connections of others do not.

A forged one closes a UDP socket ("port unreachable"), or shrinks a path for minutes
("fragmentation needed").
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from tests.firewall.frames import IP, Wire, ethernet, icmp, udp
from tests.firewall.lab import CACHE, SNAPSHOT, Lab
from tests.support.namespaces import socket_in
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

HOST, OUTSIDE = "192.0.2.1", "192.0.2.2"
ANSWERING, CLOSED = 7000, 7001
IP_RECVERR = 11  # linux/in.h
UNREACHABLE = 3  # with code 0, "net unreachable"
# Who asks, as whom and from which port; where the answer comes from.
CONNECTIONS = {
    "a workload and the outside": ("app", HOST, 6000, "outside", OUTSIDE),  # masqueraded
    "the host and the outside": ("host", HOST, 6001, "outside", OUTSIDE),
    "two workloads": ("app", "10.0.0.6", 6002, "web", "10.0.0.5"),
}


@pytest.fixture(params=CONNECTIONS)
def asking(lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, bytes]]:
    """A socket that was answered once, and its question as others may quote it."""
    where, own, port, there, other = CONNECTIONS[request.param]
    lab.load(SNAPSHOT)
    with (
        socket_in(lab.path(where), socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket_in(lab.path(there), socket.AF_INET, socket.SOCK_DGRAM) as server,
    ):
        server.bind(("", ANSWERING))
        client.bind(("", port))
        for each in (client, server):
            each.settimeout(60)
        # Whoever asks the kernel to tell of every error hears of "net unreachable" too.
        client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        client.connect((other, ANSWERING))
        client.send(b"?")
        server.sendto(b"!", server.recvfrom(10)[1])
        assert client.recv(10) == b"!"
        yield client, udp(own, other, (port, ANSWERING), b"?")


def test_a_workload_has_no_say_about_another_network(
    lab: Lab, asking: tuple[socket.socket, bytes]
) -> None:
    """Its errors are dropped and counted, and the connection goes on."""
    client, question = asking
    before = lab.drops()["forged-error"]
    gateway = json.loads(lab.sh("host", "ip", "-j", "link", "show", "volt-backend"))[0]["address"]
    asker = str(IPv4Address(question[12:16]))
    error = icmp("10.30.0.5", asker, UNREACHABLE, question)
    with Wire(lab.path("cache"), "eth0") as cache:
        cache.send(ethernet(gateway, CACHE.mac, IP, error))
    wait_until(lambda: lab.drops()["forged-error"] == before + 1, "the error is dropped")
    client.send(b"?")  # raises what is known to be wrong with the connection


@pytest.mark.parametrize("name", CONNECTIONS)
def test_who_is_asked_in_vain_says_so(lab: Lab, name: str) -> None:
    """The counter-check: the true errors of both ends and of the way between them arrive."""
    where, _own, _port, _there, other = CONNECTIONS[name]
    lab.load(SNAPSHOT)
    with socket_in(lab.path(where), socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.connect((other, CLOSED))
        client.send(b"?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)
