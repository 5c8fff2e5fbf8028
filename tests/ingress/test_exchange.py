"""Requests and answers through the proxy, on real sockets."""

from __future__ import annotations

import threading

import pytest

from tests.ingress.bench import Peer, answers, bench
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.targets import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_request_goes_through_and_the_connections_are_kept() -> None:
    """Both of them: the second request finds the first one's connection."""
    heads = []

    def origin(peer: Peer, number: int) -> None:
        while True:
            heads.append((number, peer.head()))
            peer.send(OK)

    with bench(origin) as made:
        client = made.client()
        for _ in range(2):
            client.send(GET)
            assert client.head() + client.exactly(2) == OK
    assert heads[0] == heads[1]
    assert heads[0] == (
        1,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: a\r\nVia: 1.1 volt\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n",
    )


def test_pipelined_requests_are_answered_in_order() -> None:
    """One after the other, whatever is refused in between."""

    def origin(peer: Peer, _number: int) -> None:
        while True:
            path = peer.head().split()[1]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    with bench(origin) as made:
        client = made.client()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % each for each in range(20)))
        for each in range(20):
            client.head()
            assert client.exactly(len(str(each)) + 1) == b"/%d" % each


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_bodies_of_any_size_go_both_ways(size: int) -> None:
    """With a length and in chunks; nothing is lost when somebody is slow."""

    def origin(peer: Peer, _number: int) -> None:
        while True:
            peer.head()
            body = peer.exactly(size)
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.send(b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (size, body))

    body = bytes(range(256)) * (size // 256 + 1)
    with bench(origin) as made:
        client = made.client()
        for _ in range(2):
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
            sender = threading.Thread(target=client.send, args=(head + body[:size],))
            sender.start()
            client.head()
            assert client.exactly(len(f"{size:x}") + 2) == b"%x\r\n" % size
            assert client.exactly(size) == body[:size]
            assert client.head() == b"\r\n0\r\nX-Sum: 1\r\n\r\n"
            sender.join()


def test_a_chunked_request_is_checked_before_the_backend_sees_it() -> None:
    """Its framing reaches the backend as it was; a wrong one is a 400."""
    seen = []

    def origin(peer: Peer, _number: int) -> None:
        seen.append(peer.head())
        seen.append(peer.exactly(15))
        peer.send(OK)
        seen.append(peer.rest())

    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with bench(origin) as made:
        client = made.client()
        client.send(chunked + b"5\r\nhello\r\n0\r\n\r\n")
        client.head()
        client = made.client()
        client.send(chunked + b"5 \r\nhello\r\n0\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 400 ")
    assert seen[1] == b"5\r\nhello\r\n0\r\n\r\n"


def test_an_expectation_is_met_by_the_backend() -> None:
    """100 Continue comes from it, then the answer."""

    def origin(peer: Peer, _number: int) -> None:
        assert b"expect: 100-continue" in peer.head().lower()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.exactly(5) == b"hello"
        peer.send(OK)

    with bench(origin) as made:
        client = made.client()
        client.send(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert client.head() + client.exactly(2) == OK


def test_an_upgrade_becomes_a_tunnel() -> None:
    """Bytes both ways, whoever begins; the end of one direction is passed on alone."""

    def origin(peer: Peer, _number: int) -> None:
        head = peer.head().lower()
        assert b"connection: upgrade\r\nupgrade: echo\r\n" in head
        peer.send(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst")
        data = peer.rest()
        peer.send(data[::-1])

    with bench(origin) as made:
        client = made.client()
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nahead "
        )
        assert client.head().startswith(b"HTTP/1.1 101 ")
        assert client.exactly(5) == b"first"
        client.send(b"later")
        client.sock.shutdown(1)
        assert client.rest() == b"ahead later"[::-1]


def test_a_head_request_and_an_old_client_get_their_answers() -> None:
    """No body after HEAD; HTTP/1.0 gets no chunks and is closed."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with bench(answers(OK[:-2], chunked)) as made:
        client = made.client()
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.head() == OK[:-2]
        client = made.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


def only_reads(peer: Peer, _number: int) -> None:
    """Never answers."""
    peer.rest()


# ---- backends that fail -------------------------------------------------------------------------


def closes(peer: Peer, _number: int) -> None:
    """Closes the connection after the request, without an answer."""
    peer.head()


def test_a_get_is_tried_elsewhere_and_a_post_is_not() -> None:
    """What may have been done already is not asked for twice."""
    with bench(closes, answers(OK)) as made:
        client = made.client()
        for _ in range(4):
            client.send(GET)
            assert client.head() + client.exactly(2) == OK
    with bench(closes, closes) as made:
        client = made.client()
        client.send(GET.replace(b"GET", b"POST"))
        assert client.head().startswith(b"HTTP/1.1 502 ")


def test_an_idle_connection_that_the_backend_closed_costs_nobody_a_request() -> None:
    """Neither GET nor POST."""

    def once(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(OK)

    with bench(once) as made:
        client = made.client()
        for method in (b"GET", b"POST", b"GET", b"POST"):
            client.send(GET.replace(b"GET", method))
            assert client.head() + client.exactly(2) == OK


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_an_unreadable_answer_is_a_502(answer: bytes) -> None:
    """And the client's connection is of no further use."""
    with bench(answers(answer)) as made:
        client = made.client()
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 502 ")


def test_an_answer_that_breaks_off_is_seen_to_have_broken_off() -> None:
    """The connection ends before the length that was announced."""

    def breaks(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(OK[:-1])

    with bench(breaks) as made:
        client = made.client()
        client.send(GET)
        assert client.rest() == OK[:-1]


def test_nobody_there_is_a_502_and_nobody_healthy_a_503() -> None:
    """The latter with a hint when to come again."""
    with bench(limits=Limits(connect=1)) as made:
        endpoints = made.lead_to(("127.0.0.1", 1))
        client = made.client()
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 502 ")
        endpoints[0].is_usable = False
        made.do(made.target.refresh)
        client = made.client()
        client.send(GET)
        head = client.head()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in head


def test_a_backend_that_does_not_answer_is_a_504() -> None:
    """After the route's time-out."""
    with bench(only_reads, timeout=0.1) as made:
        client = made.client()
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 504 ")


# ---- clients that misbehave ---------------------------------------------------------------------

HASTY = Limits(head=0.1, idle=0.1, progress=0.1, linger=0.1)


def test_who_says_nothing_or_half_a_head_is_shed() -> None:
    """An idle connection silently, half a head with 408."""
    with bench(answers(OK), limits=HASTY) as made:
        silent, slow = made.client(), made.client()
        slow.send(GET[:10])
        assert silent.is_closed()
        assert slow.rest().startswith(b"HTTP/1.1 408 ")


def test_who_stops_within_a_body_is_shed() -> None:
    """408, and the backend's connection is dropped."""
    with bench(only_reads, limits=HASTY) as made:
        client = made.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert not made.target.endpoints[0].outstanding


def test_who_does_not_read_the_answer_is_shed() -> None:
    """The backend is not read meanwhile, so nothing piles up here."""

    def floods(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n")
        for _ in range(900):
            peer.send(b"x" * 100_000)

    with bench(floods, limits=HASTY) as made:
        client = made.client()
        client.send(GET)
        client.head()
        while made.proxy.clients:
            assert all(len(each._output) < 300_000 for each in list(made.proxy.clients))


def test_a_body_over_the_limit_is_a_413() -> None:
    """By its announced length at once, else as soon as it is over."""
    with bench(answers(OK), body_limit=3) as made:
        client = made.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
        assert client.head().startswith(b"HTTP/1.1 413 ")
        client = made.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabcde")
        assert client.head().startswith(b"HTTP/1.1 413 ")


def test_connections_are_limited_per_client() -> None:
    """The one too many is closed, the others go on."""
    with bench(answers(OK), limits=Limits(per_client=2)) as made:
        kept = [made.client(), made.client()]
        for each in kept:
            each.send(GET)
            each.head()
        assert made.client().is_closed()
        kept[0].exactly(2)
        kept[0].send(GET)
        assert kept[0].head().startswith(b"HTTP/1.1 200 ")


def test_a_client_that_goes_takes_its_request_along() -> None:
    """The backend's connection is closed, and counted no more."""
    asked, gone = threading.Event(), threading.Event()

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        asked.set()
        assert peer.rest() == b""
        gone.set()

    with bench(origin) as made:
        client = made.client()
        client.send(GET)
        assert asked.wait(10)
        client.close()
        assert gone.wait(10)


def test_a_doubted_backend_that_answers_is_told_of_once() -> None:
    """Only where that is news: whoever is told costs time for each request."""
    told: list[bool] = []

    def tell(endpoint: Endpoint, ok: bool) -> None:
        told.append(ok)
        endpoint.is_doubted = False

    with bench(answers(OK)) as made:
        made.proxy.on_result = tell
        made.target.endpoints[0].is_doubted = True
        client = made.client()
        for _ in range(3):
            client.send(GET)
            client.head()
            client.exactly(2)
        assert told == [True]
