"""Many datagrams with one system call, on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from volt_agent.dns.datagrams import ROOM, Datagrams

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server, and a client connected to it."""
    kind = socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as server, socket.socket(socket.AF_INET, kind) as near:
        server.bind(("127.0.0.1", 0))
        near.bind(("127.0.0.2", 0))
        near.connect(server.getsockname())
        near.settimeout(60)
        yield server, near


def answer(datagrams: Datagrams, i: int, reply: bytes) -> None:
    """Put `reply` in place; its first two octets are those that came."""
    datagrams.bodies[i][: len(reply)] = reply
    datagrams.sizes[i] = len(reply) + 2


def test_what_came_and_from_whom(pair: Pair) -> None:
    """In the order in which it was sent; no more at a time than there is room for."""
    server, client = pair
    sent = [b"first", b"", b"x" * ROOM, b"fourth"]
    for each in sent:
        client.send(each)
    datagrams = Datagrams(3)
    assert datagrams.receive(server.fileno()) == 3
    assert [datagrams.packet(i) for i in range(3)] == sent[:3]
    assert {datagrams.source(i) for i in range(3)} == {client.getsockname()}
    assert bytes(datagrams.addresses[0]) == socket.inet_aton("127.0.0.2")
    assert (datagrams.receive(server.fileno()), datagrams.packet(0)) == (1, sent[3])
    assert datagrams.receive(server.fileno()) == 0


def test_what_is_too_long_is_cut(pair: Pair) -> None:
    """And does not touch its neighbour."""
    server, client = pair
    for each in (b"y" * (ROOM + 500), b"next"):
        client.send(each)
    datagrams = Datagrams(2)
    assert datagrams.receive(server.fileno()) == 2
    assert [datagrams.packet(i) for i in range(2)] == [b"y" * ROOM, b"next"]


def test_replies_go_to_those_who_asked(pair: Pair) -> None:
    """Under the two octets with which they asked; some may be left out."""
    server, client = pair
    for each in (b"aa-one", b"bb-two", b"cc-three"):
        client.send(each)
    datagrams = Datagrams(4)
    for _ in range(2):  # as often as one likes
        assert datagrams.receive(server.fileno()) == 3
        answer(datagrams, 0, b" a long reply to the first")
        answer(datagrams, 2, b" third")
        assert datagrams.send(server.fileno(), 0, 1) == 0
        assert datagrams.send(server.fileno(), 2, 3) == 0
        assert client.recv(100) == b"aa a long reply to the first"
        assert client.recv(100) == b"cc third"
        for each in (b"aa-one", b"bb-two", b"cc-three"):
            client.send(each)


def test_one_that_cannot_be_sent_does_not_stop_the_others(pair: Pair) -> None:
    """It is counted: here an address that no route leads to."""
    server, client = pair
    for _ in range(3):
        client.send(b"aa")
    datagrams = Datagrams(3)
    assert datagrams.receive(server.fileno()) == 3
    for i in range(3):
        answer(datagrams, i, b"-%d" % i)
    datagrams.addresses[1][:] = socket.inet_aton("255.255.255.255")  # EACCES without SO_BROADCAST
    assert datagrams.send(server.fileno(), 0, 3) == 1
    assert [client.recv(10) for _ in range(2)] == [b"aa-0", b"aa-2"]
