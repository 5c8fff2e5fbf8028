"""Connections move from one proxy to another: every byte arrives, in order, and nobody notices."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.ingress.bench import WITHIN, Bench, Origin, Peer, Script, answers
from tests.ingress.hellos import openssl_hello
from tests.ingress.test_pipes import until
from volt_agent.handover.connections import packets, unpack
from volt_agent.ingress.carry import Departure, adopt
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.targets import Endpoint

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n"
BLOB = random.Random(7).randbytes(6_000_011)  # more than the buffers on the way hold


@contextmanager
def relay(script: Script) -> Iterator[tuple[Bench, Bench]]:
    """Two proxies with a route to one origin: the second takes over from the first."""
    origin = Origin(script)
    made = [Bench(Limits()) for _ in range(2)]
    try:
        for each in made:
            each.lead_to(origin.address)
        yield made[0], made[1]
        assert not origin.failures
    finally:
        for each in made:
            each.close()
        origin.close()


def move(old: Bench, new: Bench) -> int:
    """Everything that can travel, as it does between processes; how many connections."""
    departure = old.do(Departure, old.proxy)
    count = 0
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        for packet, descriptors in packets(departure.connections):
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(packet) + 65_536)
            socket.send_fds(near, [packet], descriptors)
            data, received, _flags, _address = socket.recv_fds(far, len(packet) + 1, 253)
            for connection, its in unpack(data, received):
                new.do(adopt, new.proxy, {"web": new.target}.get, connection, its)
                count += 1
    old.do(departure.done)
    return count


def upgraded(client: Peer) -> Peer:
    client.send(UPGRADE)
    assert client.head().startswith(b"HTTP/1.1 101 ")
    return client


def tunnel(then: Callable[[Peer], None]) -> Script:
    """An origin that switches to `then`."""

    def script(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(SWITCH)
        then(peer)

    return script


def echoes(peer: Peer) -> None:
    while data := peer.sock.recv(65_536):
        peer.send(data)


def until_any(made: Bench, what: str, holds: Callable[[Any], object]) -> None:
    """Wait until this holds for one of the proxy's clients, tunnels or handshakes."""
    until(lambda: made.do(lambda: any(map(holds, getattr(made.proxy, what)))))


def until_all(made: Bench, what: str, holds: Callable[[Any], object]) -> None:
    until(lambda: made.do(lambda: all(map(holds, getattr(made.proxy, what)))))


def is_empty(made: Bench) -> bool:
    proxy = made.proxy
    return not (proxy.clients or proxy.tunnels or proxy.handshakes or proxy._per_address)


def test_an_idle_client_moves() -> None:
    """It asks again on the same connection; the first proxy knows nothing of it any more."""
    with relay(answers(OK)) as (old, new):
        client = old.client()
        for _ in range(3):
            client.send(GET)
            assert client.head() + client.exactly(2) == OK
            until_all(old, "clients", lambda each: not each.is_busy)
            assert move(old, new) == 1
            assert is_empty(old)
            old, new = new, old


@pytest.mark.parametrize("cut", [1, 10, len(GET) - 1, len(GET) + 5])
def test_a_request_that_has_begun_to_come_moves(cut: int) -> None:
    """With what is there of its head, or of the next request's."""
    with relay(answers(OK)) as (old, new):
        client = old.client()
        client.send((GET + GET)[:cut])
        until_any(old, "clients", lambda each: not each._is_waiting)
        until_all(old, "clients", lambda each: each.can_travel)
        assert move(old, new) == 1
        client.send((GET + GET)[cut:])
        for _ in range(2):
            assert client.head() + client.exactly(2) == OK


def test_a_request_in_flight_stays_and_moves_later() -> None:
    """It is answered where it was begun, without a Connection: close, and then it can travel."""
    go_on = threading.Event()

    def waits(peer: Peer, _number: int) -> None:
        peer.head()
        assert go_on.wait(WITHIN)
        peer.send(OK)
        answers(OK)(peer, 2)

    with relay(waits) as (old, new):
        client = old.client()
        client.send(GET)
        until_any(old, "clients", lambda each: each.is_busy)
        assert move(old, new) == 0
        old.proxy.has_successor = old.proxy.is_draining = True
        go_on.set()
        assert client.head() + client.exactly(2) == OK
        until_all(old, "clients", lambda each: each.can_travel)
        assert move(old, new) == 1
        client.send(GET)
        assert client.head() + client.exactly(2) == OK


def test_a_tunnel_moves_while_it_is_full() -> None:
    """With what waits for both slow ends; then again, back and forth, while they go on."""
    with relay(tunnel(echoes)) as (old, new):
        client = upgraded(old.client())
        sender = threading.Thread(target=client.send, args=(BLOB,))
        sender.start()
        # Nobody reads: both directions fill up.
        until_any(old, "tunnels", lambda each: each._output)
        got = bytearray()
        while len(got) < len(BLOB):
            assert move(old, new) == 1
            assert is_empty(old)
            old, new = new, old
            got += client.exactly(min(500_000, len(BLOB) - len(got)))
        sender.join(WITHIN)
        assert got == BLOB


@pytest.mark.parametrize("is_first", [True, False])
def test_a_half_close_moves(is_first: bool) -> None:
    """Whether it came before (then it is not told again) or after the move: the other direction
    goes on, and the end of that ends the tunnel."""

    go_on = threading.Event()

    def answers_at_the_end(peer: Peer) -> None:
        assert peer.rest() == b"question"
        assert go_on.wait(WITHIN)
        peer.send(b"answer")

    with relay(tunnel(answers_at_the_end)) as (old, new):
        client = upgraded(old.client())
        client.send(b"question")
        if is_first:
            client.sock.shutdown(socket.SHUT_WR)
            until_any(old, "tunnels", lambda each: each._has_ended)
        move(old, new)
        if not is_first:
            client.sock.shutdown(socket.SHUT_WR)
        go_on.set()
        assert client.rest() == b"answer"
        until(lambda: is_empty(new))


def test_an_end_behind_what_waits_moves() -> None:
    """The client has sent much and ended; the server, which reads late, gets all of it, and the
    end."""
    read = threading.Event()
    sizes: list[int] = []

    def reads_late(peer: Peer) -> None:
        assert read.wait(WITHIN)
        sizes.append(len(peer.rest()))

    with relay(tunnel(reads_late)) as (old, new):
        client = upgraded(old.client())
        client.sock.setblocking(False)
        sent = 0
        while not old.do(lambda: any(each._output for each in old.proxy.tunnels)):
            sent += fill(client.sock)
        client.sock.shutdown(socket.SHUT_WR)
        assert move(old, new) == 1
        read.set()
        client.sock.settimeout(WITHIN)
        assert client.is_closed()
        assert sizes == [sent]
        until(lambda: is_empty(new))


def fill(sock: socket.socket) -> int:
    """Send until it would have to wait; how much."""
    sent = 0
    try:
        while True:
            sent += sock.send(BLOB[:65_536])
    except BlockingIOError:
        return sent


def test_a_failed_move_changes_nothing() -> None:
    """Clients with half a head, tunnels under load: undone, they go on where they were."""
    with relay(answers(OK)) as (old, _new):
        client = old.client()
        client.send(GET[:10])
        until_any(old, "clients", lambda each: each._buffer)
        departure = old.do(Departure, old.proxy)
        assert len(departure.connections) == 1
        client.send(GET[10:])
        old.do(departure.undo)
        assert client.head() + client.exactly(2) == OK


def test_a_tunnel_whose_move_failed_goes_on() -> None:
    with relay(tunnel(echoes)) as (old, _new):
        client = upgraded(old.client())
        for _ in range(3):
            client.send(b"x" * 1000)
            departure = old.do(Departure, old.proxy)
            client.send(b"y" * 1000)
            old.do(departure.undo)
            assert client.exactly(2000) == b"x" * 1000 + b"y" * 1000


def test_a_tls_connection_that_says_nothing_yet_moves() -> None:
    """Half a ClientHello lies unread in the socket: the second proxy finds all of it."""
    with relay(answers(OK)) as (old, new):
        listening = socket.create_server(("127.0.0.1", 0))
        listener = old.do(old.proxy.listen_tls, listening)
        whole = openssl_hello("a.example")
        with listening, socket.create_connection(listening.getsockname(), WITHIN) as client:
            client.sendall(whole[:20])
            until_any(old, "handshakes", lambda each: each._seen)
            assert move(old, new) == 1
            assert is_empty(old)
            client.sendall(whole[20:])
            # Without a certificate there: refused with an alert (RFC 8446, section 6).
            assert client.recv(100)[:1] == b"\x15"
        old.do(listener.close)
        until(lambda: is_empty(new))


def test_a_tunnel_of_a_route_that_is_gone_is_closed() -> None:
    """There is nobody any more who could cut it off."""
    with relay(tunnel(echoes)) as (old, new):
        client = upgraded(old.client())
        departure = old.do(Departure, old.proxy)
        ((connection, descriptors),) = departure.connections
        copies = tuple(map(os.dup, descriptors))
        old.do(departure.done)
        new.do(adopt, new.proxy, lambda _route: None, connection, copies)
        assert client.is_closed()
        assert is_empty(new)


def test_a_moved_tunnel_counts() -> None:
    """For its route, its endpoint and its client's limit; at its end no more."""
    with relay(tunnel(echoes)) as (old, new):
        client = upgraded(old.client())
        move(old, new)
        (endpoint,) = new.target.endpoints
        assert isinstance(endpoint, Endpoint)
        assert (endpoint.outstanding, new.proxy._per_address) == (1, {"127.0.0.1": 1})
        client.close()
        until(lambda: is_empty(new))
        assert endpoint.outstanding == 0
