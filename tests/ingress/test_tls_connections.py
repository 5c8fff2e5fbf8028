"""TLS connections through the proxy, on real sockets: ended, passed through, refused."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

import pytest

from tests.ingress.bench import WITHIN, Origin, Peer, answers
from tests.ingress.hellos import in_records, openssl_hello
from tests.ingress.tls_bench import TlsBench, client_context, route, tls_bench
from volt_agent.ingress.client_hello import HELLO_MAX, NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.process import resident_bytes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def alert(peer: Peer) -> int:
    """The fatal alert that is all the answer."""
    record = peer.rest()
    assert record[:1] == b"\x15"
    assert record[3:6] == b"\0\x02\x02"
    assert len(record) == 7
    return record[6]


def nothing_is_left(tls: TlsBench) -> None:
    """No handshake is under way any more; asked on the loop, so after what it is doing."""
    while tls.made.do(lambda: len(tls.proxy.handshakes)):
        pass


# ---- what ends here -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_over_tls(version: ssl.TLSVersion) -> None:
    """With both versions, on one connection; the backend is told of https."""
    heads = []

    def origin(peer: Peer, _number: int) -> None:
        while True:
            heads.append(peer.head())
            peer.send(OK)

    context = client_context()
    context.minimum_version = context.maximum_version = version
    with tls_bench(origin) as tls:
        client = tls.client("a.example", context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            client.send(GET)
            assert client.head() + client.exactly(2) == OK
    assert b"\r\nX-Forwarded-Proto: https\r\n" in heads[0]


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_bodies_of_any_size_go_both_ways_over_tls(size: int) -> None:
    """Nothing is lost at the borders of records."""
    body = bytes(range(256)) * (size // 256 + 1)

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        got = peer.exactly(size)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        peer.send(got)
        peer.rest()

    with tls_bench(origin) as tls:
        client = tls.client("a.example")
        head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % size
        client.send(head + body[:size])
        client.head()
        assert client.exactly(size) == body[:size]


def test_names_choose_certificates() -> None:
    """Several on one listener; each client is shown the one that it asked for."""
    with tls_bench(answers(OK), names=("a.example", "b.example")) as tls:
        for name in ("a.example", "b.example"):
            sock = tls.client(name).sock
            assert isinstance(sock, ssl.SSLSocket)
            shown = sock.getpeercert()
            assert shown is not None
            assert shown["subjectAltName"] == (("DNS", name),)


def test_a_connection_is_good_for_the_hosts_of_its_certificate() -> None:
    """RFC 9110, section 15.5.20: another host, with another certificate or none, is answered 421;
    one with the same certificate is served; and a renewal of it changes nothing."""
    names = ("a.example", "b.example")
    with tls_bench(answers(OK), names=names) as tls:
        tls.usable[b"twin.example"] = tls.usable[b"a.example"]
        client = tls.client("a.example")

        def status(host: str) -> int:
            client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())
            head = client.head()
            client.exactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            return int(head.split()[1])

        hosts = ("a.example", "A.EXAMPLE:443", "b.example", "none.example", "twin.example")
        assert [status(host) for host in hosts] == [200, 200, 421, 421, 200]
        tls.usable[b"a.example"] = tls.usable.pop(b"b.example")
        assert status("a.example") == 200


def test_unknown_names_are_refused() -> None:
    """With the alert unrecognized_name, also for clients that name nobody."""
    with tls_bench(answers(OK)) as tls:
        for name in ("other.example", None):
            client = tls.connect()
            client.send(openssl_hello(name))
            assert alert(client) == UNRECOGNIZED_NAME
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            tls.client("other.example")
        nothing_is_left(tls)
        assert not tls.proxy.clients


def test_protocols_that_we_do_not_speak_are_refused() -> None:
    """RFC 7301, section 3.2, instead of an answer in another protocol."""
    with tls_bench(answers(OK)) as tls:
        client = tls.connect()
        client.send(openssl_hello("a.example", ["h2"]))
        assert alert(client) == NO_APPLICATION_PROTOCOL


def test_a_hello_may_come_in_pieces_of_any_kind() -> None:
    """One byte for each segment, eight for each record: still served."""
    with tls_bench(answers(OK)) as tls:
        client = tls.connect()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in in_records(outgoing.read()[5:], 8):
            client.send(bytes((each,)))
        while True:
            incoming.write(client.sock.recv(65536))
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        session.write(GET)
        client.send(outgoing.read())
        answer = b""
        while len(answer) < len(OK):
            incoming.write(client.sock.recv(65536))
            with suppress(ssl.SSLWantReadError):
                answer += session.read()
        assert answer == OK


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x80\x2e\x01\x03\x01",
        in_records(b"\x01\x00\xff\xff" + bytes(HELLO_MAX), 16_000),
        bytes(range(256)) * 256,
    ],
)
def test_garbage_is_answered_with_an_alert(data: bytes) -> None:
    """And costs nobody else anything."""
    with tls_bench(answers(OK)) as tls:
        other = tls.client("a.example")
        client = tls.connect()
        client.send(data)
        assert client.rest()[:1] in (b"\x15", b"")
        other.send(GET)
        assert other.head() + other.exactly(2) == OK
        nothing_is_left(tls)


def test_garbage_within_the_handshake_ends_it() -> None:
    """After a good ClientHello."""
    with tls_bench(answers(OK)) as tls:
        client = tls.connect()
        client.send(openssl_hello("a.example"))
        assert client.exactly(3)[:1] == b"\x16"
        client.send(b"nonsense" * 9)
        client.rest()
        nothing_is_left(tls)


def test_plain_http_is_told_that_this_is_https() -> None:
    """In its own language."""
    with tls_bench(answers(OK)) as tls:
        client = tls.connect()
        client.send(GET)
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(body) in head


def test_handshakes_are_limited_in_time_and_number() -> None:
    """Who is slow is shed; of too many the oldest goes."""
    with tls_bench(answers(OK), limits=Limits(handshake=0.1)) as tls:
        silent, slow, stuck = tls.connect(), tls.connect(), tls.connect()
        slow.send(openssl_hello("a.example")[:20])
        stuck.send(openssl_hello("a.example"))
        assert silent.is_closed()
        assert slow.is_closed()
        stuck.rest()
        nothing_is_left(tls)
    with tls_bench(answers(OK), limits=Limits(handshakes=2)) as tls:
        waiting = [tls.connect() for _ in range(3)]
        assert waiting[0].is_closed()
        client = tls.client("a.example")
        client.send(GET)
        assert client.head() + client.exactly(2) == OK


def test_the_end_is_said_on_both_sides() -> None:
    """close_notify comes before the end of an answer that ends with the connection, and not when
    the answer broke off: that is how a client tells them apart (RFC 8446, section 6.1)."""

    def ends(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    def breaks(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nnot all")

    for script, is_whole in ((ends, True), (breaks, False)):
        with tls_bench(script) as tls:
            raw = tls.connect()
            sock = client_context().wrap_socket(
                raw.sock, server_hostname="a.example", suppress_ragged_eofs=False
            )
            sock.settimeout(WITHIN)
            sock.sendall(GET)
            is_cut_off = False
            try:
                while sock.recv(4096):
                    pass
                sock.unwrap()
            except ssl.SSLEOFError:
                is_cut_off = True
            assert is_cut_off is not is_whole
            sock.close()


def test_sessions_are_resumed() -> None:
    """By tickets, in both versions: the second handshake needs no signature."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context()
        context.minimum_version = context.maximum_version = version
        with tls_bench(answers(OK)) as tls:
            first = tls.client("a.example", context)
            first.send(GET)
            first.head()
            assert isinstance(first.sock, ssl.SSLSocket)
            second = context.wrap_socket(
                tls.connect().sock, server_hostname="a.example", session=first.sock.session
            )
            assert second.session_reused
            second.close()


def test_websockets_over_tls() -> None:
    """An upgraded connection carries bytes both ways."""

    def origin(peer: Peer, _number: int) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        for _ in range(3):
            peer.send(peer.exactly(5)[::-1])

    with tls_bench(origin) as tls:
        client = tls.client("a.example")
        client.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: echo\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 101 ")
        for _ in range(3):
            client.send(b"hello")
            assert client.exactly(5) == b"olleh"
        assert client.is_closed()


# ---- plain requests for hosts with TLS ----------------------------------------------------------


def test_plain_requests_are_sent_to_https() -> None:
    """308 with the port where it is not 443, unless the route says no; HSTS only over TLS."""
    with tls_bench(answers(OK), hsts=300) as tls:
        client = tls.made.client()
        client.send(b"POST /p?q=1 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 0\r\n\r\n")
        head = client.head()
        assert head.startswith(b"HTTP/1.1 308 ")
        assert b"\r\nLocation: https://a.example:%d/p?q=1\r\n" % tls.address[1] in head
        assert b"Strict-Transport" not in head
        tls.made.do(lambda: setattr(tls.proxy, "https_port", 443))
        client.send(GET)
        assert b"\r\nLocation: https://a.example/\r\n" in client.head()
        tls.route(route("web", redirect=False))
        client.send(GET)
        assert client.head().startswith(b"HTTP/1.1 404 ")
        secure = tls.client("a.example")
        for _ in range(2):
            secure.send(GET)
            assert b"\r\nStrict-Transport-Security: max-age=300\r\n" in secure.head()
            secure.exactly(2)


# ---- what is passed through ---------------------------------------------------------------------


def passed_through(tls: TlsBench, address: tuple[str, int], *more: tuple[str, int]) -> Target:
    """A route for b.example whose backend ends TLS itself."""
    target = Target("through")
    target.lead_to(Endpoint(each, "through:443") for each in (address, *more))
    tls.route(
        route("web"), route("through", "b.example", tls="passthrough"), others={"through": target}
    )
    return target


def test_tls_is_passed_through_by_name() -> None:
    """What the client sends is what the backend gets, from the first byte, and nothing else."""
    hello = openssl_hello("b.example")
    seen = []

    def backend(peer: Peer, _number: int) -> None:
        seen.append(peer.exactly(len(hello)))
        peer.send(b"answer")
        seen.append(peer.rest())
        peer.send(b"last words")

    origin = Origin(backend)
    try:
        with tls_bench(answers(OK)) as tls:
            target = passed_through(tls, origin.address)
            client = tls.connect()
            client.send(hello[:7])
            client.send(hello[7:])
            assert client.exactly(6) == b"answer"
            assert target.endpoints[0].outstanding == 1
            client.send(b"more")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.rest() == b"last words"
            assert seen == [hello, b"more"]
            other = tls.client("a.example")
            other.send(GET)
            assert other.head() + other.exactly(2) == OK
    finally:
        origin.close()
    assert not origin.failures


def test_a_backend_that_is_not_there_is_passed_over() -> None:
    """The next one gets the connection; without any the client is cut off."""
    origin = Origin(lambda peer, _number: peer.send(peer.exactly(3)))
    results = []
    try:
        with tls_bench(answers(OK)) as tls:
            tls.made.do(
                lambda: setattr(tls.proxy, "on_result", lambda _end, ok: results.append(ok))
            )
            target = passed_through(tls, ("127.0.0.1", 1), origin.address)
            for _ in range(2):
                client = tls.connect()
                client.send(openssl_hello("b.example"))
                assert client.exactly(3) == b"\x16\x03\x01"
                client.rest()
                client.close()
            assert results.count(True) == 2
            assert results.count(False) == 1
            passed_through(tls, ("127.0.0.1", 1))
            client = tls.connect()
            client.send(openssl_hello("b.example"))
            assert client.is_closed()
            nothing_is_left(tls)
            while tls.made.do(lambda: len(tls.proxy.tunnels)):
                pass
            assert [each.outstanding for each in target.endpoints] == [0, 0]
    finally:
        origin.close()


def test_an_ended_target_takes_its_connections_along() -> None:
    """Of a route that was deleted and has drained."""
    over = threading.Event()

    def backend(peer: Peer, _number: int) -> None:
        peer.send(b"begun")
        peer.rest()
        over.set()

    origin = Origin(backend)
    try:
        with tls_bench(answers(OK)) as tls:
            target = passed_through(tls, origin.address)
            client = tls.connect()
            client.send(openssl_hello("b.example"))
            assert client.exactly(5) == b"begun"
            tls.made.do(tls.proxy.end, target)
            assert client.is_closed()
            assert over.wait(WITHIN)
            assert not tls.proxy.tunnels
    finally:
        origin.close()


def test_many_connections_come_and_go_without_a_trace() -> None:
    """200 of every kind: no descriptor, no count stays behind."""
    with tls_bench(answers(OK)) as tls:
        for number in range(200):
            client = tls.connect()
            client.send((openssl_hello("b.example"), b"\x16\x03\x01\0\0", b"", GET)[number % 4])
            client.close()
        client = tls.client("a.example")
        client.close()
        nothing_is_left(tls)
        while tls.made.do(lambda: len(tls.proxy.clients)):
            pass
        assert not tls.proxy._per_address


def test_no_hello_leaves_memory_behind() -> None:
    """Whole, huge, garbled and half ones: what a thousand of them took is there for the next."""
    hello = openssl_hello("b.example")
    huge = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + b"\0" * 16_000
    kinds = (hello, hello[:50], huge * 4, hello[:40] + b"\xff" * 200, b"\x16\x03\x01\0\0")
    sizes = []
    with tls_bench(answers(OK)) as tls:
        for _ in range(4):
            for number in range(300):
                client = tls.connect()
                with suppress(ConnectionError):
                    client.send(kinds[number % len(kinds)])
                client.close()
            nothing_is_left(tls)
            sizes.append(resident_bytes())
    assert sizes[-1] - sizes[0] < 4 << 20
