"""What somebody tries who wants another's answer, all of the memory, or all of the time."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress.bench import Peer, answers, bench
from volt_agent.ingress.heads import HEAD_MAX, read_request
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.table import Hosts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ECHO = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


# ---- another's answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\nGET",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
)
def test_a_connection_with_half_a_request_serves_nobody_else(head: bytes) -> None:
    """The backend answers before it has the body: the next request would become the rest of it."""
    heads: list[tuple[int, bytes]] = []

    def origin(peer: Peer, number: int) -> None:
        while True:
            heads.append((number, peer.head()))
            peer.send(OK)

    with bench(origin) as made:
        early, next_one = made.client(), made.client()
        early.send(head)
        assert early.rest().endswith(b"ok")
        next_one.send(GET)
        assert next_one.head().startswith(b"HTTP/1.1 200 ")
    assert [number for number, _head in heads] == [1, 2]


def test_what_a_backend_says_too_much_reaches_nobody() -> None:
    """A second answer in one piece with the first, or while the connection is idle."""

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(OK + OK.replace(b"ok", b"no"))
        peer.rest()

    with bench(origin) as made:
        for _ in range(3):
            client = made.client()
            client.send(GET)
            assert client.head() + client.exactly(2) == OK


def test_connect_is_refused_whatever_it_is_for() -> None:
    """Also with fields that were seen before."""
    with bench(answers(OK)) as made:
        client = made.client()
        for _ in range(3):
            client.send(GET)
            assert client.head() + client.exactly(2) == OK
        client.send(GET.replace(b"GET", b"CONNECT"))
        assert client.head().startswith(b"HTTP/1.1 405 ")


def test_http2_in_a_tunnel_is_not_offered() -> None:
    """The wish is not passed on; the request is answered as if it had none."""
    seen = []

    def origin(peer: Peer, _number: int) -> None:
        seen.append(peer.head().lower())
        peer.send(OK)

    with bench(origin) as made:
        client = made.client()
        client.send(UPGRADE.replace(b"echo", b"h2c").replace(b"upgrade\r", b"upgrade, x\r"))
        assert client.head().startswith(b"HTTP/1.1 200 ")
    assert b"upgrade" not in seen[0]


def test_a_refused_upgrade_is_an_ordinary_answer() -> None:
    """What was sent ahead is the next request, no tunnel."""
    with bench(answers(OK)) as made:
        client = made.client()
        client.send(UPGRADE + GET)
        for _ in range(2):
            assert client.head() + client.exactly(2) == OK
        assert not made.proxy.tunnels


def test_the_rest_of_a_refused_body_is_no_request() -> None:
    """Whoever answers for the backend: no route, a redirect, a challenge, nobody healthy."""
    post = GET.replace(b"GET /", b"POST /.well-known/acme-challenge/x")
    with bench(answers(OK)) as made:
        made.proxy.challenge = lambda _host, _token: b"key"
        client = made.client()
        client.send(post.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n") + GET)
        assert client.rest().count(b"HTTP/1.1 ") == 1
        made.proxy.challenge = None
        made.do(made.target.lead_to, [])
        client = made.client()
        client.send(post.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n") + GET)
        assert client.rest().count(b"HTTP/1.1 ") == 1


def test_an_answer_until_the_end_that_was_reset_is_not_taken_for_whole() -> None:
    """Where the end of the connection ends the answer, the client's is reset, too."""

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        proceed.wait(10)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    proceed = threading.Event()
    with bench(origin) as made:
        client = made.client()
        client.send(GET)
        client.head()
        assert client.exactly(4) == b"half"
        proceed.set()
        with pytest.raises(ConnectionResetError):
            client.exactly(1)


# ---- all of the memory --------------------------------------------------------------------------


def test_answers_do_not_pile_up_for_who_does_not_read() -> None:
    """A thousand requests at once for 60 KB each; all are answered once they are read."""
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    asked = 0

    def origin(peer: Peer, _number: int) -> None:
        nonlocal asked
        while True:
            peer.head()
            asked += 1
            peer.send(big)

    with bench(origin) as made:
        client = made.client()
        client.send(GET * 1000)
        settled = -1
        while settled != asked or not asked:
            settled = asked
            time.sleep(0.1)  # nothing tells that nothing more happens
        assert asked < 500
        (ours,) = made.proxy.clients
        assert len(ours._output) < 200_000
        for _ in range(1000):
            client.head()
            client.exactly(60_000)


def test_interim_answers_do_not_flood_a_client() -> None:
    """Some are passed on; thousands are no answer."""

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2000)

    with bench(origin) as made:
        client = made.client()
        client.send(GET)
        rest = client.rest()
    assert 0 < rest.count(b" 103 ") <= 64
    assert rest.count(b" 502 ") == 1


def test_tunnels_count_as_connections_of_their_client() -> None:
    """Until they end."""

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(ECHO)
        peer.rest()

    with bench(origin, limits=Limits(per_client=2)) as made:
        tunnels = [made.client(), made.client()]
        for each in tunnels:
            each.send(UPGRADE)
            assert each.head().startswith(b"HTTP/1.1 101 ")
        assert made.do(lambda: made.target.endpoints[0].outstanding) == 2
        assert made.client().is_closed()
        for each in tunnels:
            each.close()
        while made.proxy.tunnels:
            pass
        client = made.client()
        client.send(UPGRADE)
        assert client.head().startswith(b"HTTP/1.1 101 ")
        assert made.do(lambda: made.target.endpoints[0].outstanding) == 1


def free_descriptors() -> int:
    """How many can still be opened."""
    held = []
    try:
        while True:
            held.append(socket.socket())
    except OSError:
        return len(held)
    finally:
        for each in held:
            each.close()


@contextlib.contextmanager
def descriptors(more: int) -> Iterator[None]:
    """At most `more` than those that are open can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_backend_is_blamed_when_descriptors_have_run_out() -> None:
    """503 for whom there is none, and then all is well again."""
    blamed = []
    with bench(answers(OK)) as made:
        made.proxy.on_result = lambda endpoint, ok: blamed.append((endpoint, ok))
        client = made.client()
        while not made.proxy.clients:
            pass
        with descriptors(0):
            held = [socket.socket() for _ in range(free_descriptors())]
            client.send(GET)
            assert client.head().startswith(b"HTTP/1.1 503 ")
        for each in held:
            each.close()
        client = made.client()
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 200 ")
    assert not blamed


def test_who_comes_when_descriptors_have_run_out_is_served_later() -> None:
    """Idle connections are let go of for it."""
    with bench(answers(OK)) as made:
        first = made.client()
        first.send(GET)
        first.head()
        with descriptors(40):
            crowd: list[Peer] = []
            with contextlib.suppress(OSError):
                while True:
                    crowd.append(made.client())
            assert first.exactly(2) + first.rest() == b"ok"
        for each in crowd:
            each.close()
        client = made.client()
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 200 ")


# ---- all of the time ----------------------------------------------------------------------------


def test_no_head_takes_long_to_read() -> None:
    """Thousands of fields that Connection names, and a path of nothing but slashes."""
    fields = b"a:\r\n" * 8000
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a\r\n" + fields + b"\r\n"
    began = time.thread_time()
    read = read_request(head[-HEAD_MAX:] if len(head) < HEAD_MAX else head)
    assert read is not None
    assert b"a:" not in read.passed
    hosts = Hosts([("a", "/x", 1), ("a", "/", 2)])
    assert hosts.find(b"a", b"/a" * (HEAD_MAX // 2)) == 2
    assert time.thread_time() - began < 0.2


def test_a_thousand_small_requests_at_once_hold_nobody_up() -> None:
    """Between two of them others have their turn."""
    with bench(answers(OK)) as made:
        made.do(made.target.lead_to, [])
        client = made.client()
        client.send(GET * 1000)
        longest = 0.0
        while made.proxy.clients and longest < 1:
            began = time.monotonic()
            made.do(int)
            longest = max(longest, time.monotonic() - began)
            if b" 503 " in client.head():
                break
        for _ in range(999):
            assert b"HTTP/1.1 503 " in client.head()
        assert longest < 0.15
