"""The end of serving: what is in flight is finished, and so is what has only just begun."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests.ingress.bench import WITHIN, Bench, Peer, answers, bench
from tests.ingress.tls_bench import tls_bench
from tests.support.process import wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def await_on_loop(made: Bench, condition: Callable[[], bool]) -> None:
    wait_until(lambda: made.do(condition), "the proxy is so far")


def test_who_was_accepted_gets_an_answer() -> None:
    """Who had not asked yet, and who had sent half a head: once, and the connection ends. Who was
    answered before and asks nothing is let go at once."""
    with bench(answers(OK)) as made:
        silent, slow, served = made.client(), made.client(), made.client()
        served.send(GET)
        assert served.head() + served.exactly(2) == OK
        slow.send(GET[:20])
        await_on_loop(made, lambda: sum(bool(each._buffer) for each in made.proxy.clients) == 1)
        drained = made.begin(made.proxy.drain(WITHIN))
        assert served.is_closed()
        assert not drained.done()
        silent.send(GET)
        slow.send(GET[20:])
        assert (silent.rest(), slow.rest()) == (LAST, LAST)
        drained.result(WITHIN)


def test_what_lies_in_a_socket_is_answered() -> None:
    """A request that came at the moment when its connection was to be let go."""
    with bench(answers(OK)) as made:
        client = made.client()
        client.send(GET)
        assert client.head() + client.exactly(2) == OK

        async def drain() -> None:
            # The poller has not seen it: nothing ran on the loop since.
            client.send(GET)
            await made.proxy.drain(WITHIN)

        drained = made.begin(drain())
        assert client.rest() == LAST
        drained.result(WITHIN)


def test_a_handshake_is_finished() -> None:
    """TLS that has begun is served like the rest."""
    with tls_bench(answers(OK)) as tls:
        raw = tls.connect()
        await_on_loop(tls.made, lambda: len(tls.proxy.handshakes) == 1)
        drained = tls.made.begin(tls.proxy.drain(WITHIN))
        client = tls.encrypted(raw, "a.example")
        client.send(GET)
        assert client.head() + client.exactly(2) == LAST
        client.close()
        drained.result(WITHIN)


def test_nobody_is_waited_for_longer_than_told() -> None:
    """Who goes on saying nothing is cut when the time is over."""
    with bench(answers(OK)) as made:
        silent = made.client()
        await_on_loop(made, lambda: len(made.proxy.clients) == 1)
        made.begin(made.proxy.drain(0.1)).result(WITHIN)
        assert silent.is_closed()
        assert not made.proxy.clients


def test_an_answer_on_its_way_is_not_shed() -> None:
    """Room is made by closing who waits for nothing, not who has not taken all of an answer."""
    body = bytes(range(256)) * 1_000

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        peer.rest()

    with bench(origin) as made:
        client = made.client()
        await_on_loop(made, lambda: len(made.proxy.clients) == 1)
        served = next(iter(made.proxy.clients))
        made.do(served.sock.setsockopt, socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        client.send(GET)
        client.head()
        taken = b""
        while made.do(lambda: served.is_busy):
            taken += client.exactly(2048)
        made.do(made.proxy.shed, 1)
        assert taken + client.exactly(len(body) - len(taken)) == body
