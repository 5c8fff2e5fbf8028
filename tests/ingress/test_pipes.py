"""Large plain bodies go through pipes: byte for byte, and no slower end loses or holds anything."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import time
from collections.abc import Callable

from tests.ingress.bench import WITHIN, Bench, Peer, bench
from volt_agent.ingress.pipes import PIPE_SIZE, PIPES_MAX, Pipes

SIZE = 3_000_017
BODY = random.Random(1).randbytes(SIZE)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def sends(peer: Peer, _number: int) -> None:
    """A large answer, twice on one connection."""
    for _ in range(2):
        peer.head()
        peer.send(HEAD + BODY)


def digests(peer: Peer, _number: int) -> None:
    """Answers with what came."""
    for _ in range(2):
        peer.head()
        peer.send(OK[:-2] + hashlib.sha256(peer.exactly(SIZE)).hexdigest()[:2].encode())


def held(made: Bench) -> int:
    """Bytes in the proxy's pipes."""
    return made.do(lambda: made.proxy.poller.pipes.held)


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end


def test_an_answer_arrives_byte_for_byte() -> None:
    """Also the next one on the same two connections, and in small pieces."""
    with bench(sends) as made:
        client = made.client()
        for _ in range(2):
            client.send(GET)
            assert client.head().startswith(b"HTTP/1.1 200 ")
            assert client.exactly(SIZE) == BODY
        assert not held(made)


def test_a_request_arrives_byte_for_byte() -> None:
    with bench(digests) as made:
        client = made.client()
        for _ in range(2):
            client.send(POST + BODY)
            client.head()
            assert client.exactly(2) == hashlib.sha256(BODY).hexdigest()[:2].encode()
        assert not held(made)


def test_a_slow_reader_gets_everything() -> None:
    """What waits for it waits in a pipe, no more than that holds; then it is given back."""
    times = 6  # more than all buffers of sockets on the way take

    def sends_more(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (times * SIZE))
        for _ in range(times):
            peer.send(BODY)

    with bench(sends_more) as made:
        client = made.client()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.send(GET)
        client.head()
        until(lambda: held(made) > 0)
        assert held(made) <= PIPE_SIZE
        assert all(client.exactly(SIZE) == BODY for _ in range(times))
        assert not held(made)


def test_a_backend_that_ends_within_its_answer_ends_it() -> None:
    """The client gets what came, and then the end: nothing of the rest is made up."""

    def stops(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(HEAD + BODY[:-1])

    with bench(stops) as made:
        client = made.client()
        client.send(GET)
        client.head()
        assert client.rest() == BODY[:-1]
        assert not held(made)


def test_a_client_that_goes_within_an_answer_takes_its_pipe_along() -> None:
    """What waited is discarded; the next client gets its own answer from the first byte."""
    with bench(sends) as made:
        for _ in range(3):
            client = made.client()
            client.send(GET)
            client.head()
            client.exactly(100_000)
            client.close()
        client = made.client()
        client.send(GET)
        client.head()
        assert client.exactly(SIZE) == BODY
        client.close()
        until(lambda: not made.proxy.clients)
        assert not held(made)


def test_a_client_that_stops_within_its_body_is_no_request() -> None:
    """The backend sees the connection end before the body does."""
    seen: list[int] = []

    def counts(peer: Peer, _number: int) -> None:
        peer.head()
        seen.append(len(peer.rest()))

    with bench(counts) as made:
        client = made.client()
        client.send(POST + BODY[:-1])
        client.close()
        until(lambda: seen)
        assert seen[0] < SIZE
        assert not held(made)


def test_a_backend_that_refuses_a_body_is_heard() -> None:
    """It answers and closes while the body still comes."""

    def refuses(peer: Peer, _number: int) -> None:
        peer.head()
        peer.exactly(1000)
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with bench(refuses) as made:
        client = made.client()
        client.send(POST + BODY[:100_000])
        assert client.head()[9:12] in (b"413", b"502")  # a reset may take the answer away
        assert not held(made)


def test_pipes_are_few() -> None:
    """The one too many is refused; those that still hold something are not used again."""
    pipes = Pipes()
    taken = [pipes.obtain() for _ in range(PIPES_MAX)]
    assert all(each is not None for each in taken)
    assert pipes.obtain() is None
    source, sink = socket.socketpair()
    with source, sink:
        source.send(b"abc")
        full = taken[0]
        assert full is not None
        assert full.take(sink.fileno(), 9) == 3
        assert pipes.held == 3
        before = len(os.listdir("/proc/self/fd"))
        pipes.release(full)
        assert len(os.listdir("/proc/self/fd")) == before - 2
    for each in taken[1:]:
        assert each is not None
        pipes.release(each)
    pipes.close()
    assert pipes.held == 0
