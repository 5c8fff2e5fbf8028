"""Heads have one reading, and h11 agrees with it; everything else is refused."""

from __future__ import annotations

from collections.abc import Iterator

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volt_agent.ingress.heads import (
    CHUNKED,
    HEAD_MAX,
    UNTIL_CLOSE,
    Refused,
    RequestHead,
    read_request,
    read_response,
)


def request(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def refusal(data: bytes) -> int:
    with pytest.raises(Refused) as raised:
        read_request(data)
    return raised.value.status


# ---- what is read -------------------------------------------------------------------------------


def test_a_request_is_passed_on_without_what_concerns_one_connection() -> None:
    """Host and the fields of the message stay as they were written."""
    data = request(
        "GET /a?b HTTP/1.1",
        "Host: App.Example.com:8080",
        "Keep-Alive: 5",
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "x-hop:2",
        "Accept: */*",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "Proxy-Authorization: secret",
        "TE: trailers",
    )
    head = read_request(data + b"body")
    assert head == RequestHead(
        size=len(data),
        method=b"GET",
        target=b"/a?b",
        authority=b"App.Example.com:8080",
        host=b"app.example.com",
        framing=0,
        keep_alive=True,
        upgrade=None,
        expects_continue=False,
        is_http10=False,
        passed=b"GET /a?b HTTP/1.1\r\nHost: App.Example.com:8080\r\nAccept: */*\r\n",
        forwarded=((b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-proto", b"https")),
    )


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        ("GET http://b.example/x?y HTTP/1.1", b"/x?y", b"b.example"),
        ("GET HTTP://B.example:81 HTTP/1.1", b"/", b"b.example"),
        ("GET http://b?y HTTP/1.1", b"/?y", b"b"),
        ("OPTIONS http://b HTTP/1.1", b"*", b"b"),
        ("OPTIONS * HTTP/1.1", b"*", b"a"),
        ("BREW /pot HTTP/1.1", b"/pot", b"a"),
        ("GET //x HTTP/1.1", b"//x", b"a"),
    ],
)
def test_every_form_of_target_is_understood(line: str, target: bytes, host: bytes) -> None:
    """In absolute form the authority takes the place of the Host field."""
    head = read_request(request(line, "Host: a"))
    assert head is not None
    assert (head.target, head.host) == (target, host)
    assert head.passed.lower().count(b"host:") == 1


@pytest.mark.parametrize(
    ("lines", "keep_alive", "upgrade"),
    [
        (("GET / HTTP/1.1", "Host: a", "Connection: close"), False, None),
        (("GET / HTTP/1.0",), False, None),
        (("GET / HTTP/1.0", "Connection: Keep-Alive"), True, None),
        (("GET / HTTP/1.0", "Connection: upgrade", "Upgrade: websocket"), False, None),
        (
            ("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket"),
            True,
            b"websocket",
        ),
        (("GET / HTTP/1.1", "Host: a", "Upgrade: websocket"), True, None),
    ],
)
def test_what_becomes_of_the_connection(
    lines: tuple[str, ...], keep_alive: bool, upgrade: bytes | None
) -> None:
    """Kept or closed by version and Connection; an upgrade needs both fields and HTTP/1.1."""
    head = read_request(request(*lines))
    assert head is not None
    assert (head.keep_alive, head.upgrade) == (keep_alive, upgrade)


def test_a_head_may_come_in_any_pieces() -> None:
    """Every beginning of it is incomplete, none is refused."""
    data = request("POST http://a/x HTTP/1.1", "Host: a", "Content-Length: 3", "X: \t y")
    for size in range(len(data)):
        assert read_request(data[:size]) is None, data[:size]
    head = read_request(data)
    assert head is not None
    assert head.size == len(data)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET / HTTP/1.1", "X: y"), 400),
        (("GET / HTTP/1.1", "Host: a", "Host: a"), 400),
        (("GET / HTTP/1.1", "Host: a b"), 400),
        (("GET / HTTP/1.1", "Host: u@a"), 400),
        (("GET / HTTP/1.1", "Host: "), 400),
        (("GET / HTTP/1.1", "Host : a"), 400),
        (("GET / HTTP/1.1", "Host: a", "X: a\n b"), 400),
        (("GET / HTTP/1.1", "Host: a", " folded"), 400),
        (("GET / HTTP/1.1", "Host: a", "X: a\x00b"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length: 3", "Content-Length: 3"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length: 3, 3"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length: +3"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length: 0x3"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length:"), 400),
        (("GET / HTTP/1.1", "Host: a", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"), 400),
        (("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"), 400),
        (("GET / HTTP/1.1", "Host: a", *["Transfer-Encoding: chunked"] * 2), 400),
        (("GET / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"), 400),
        (("GET / HTTP/1.1", "Host: a", "Connection: content-length"), 400),
        (("GET / HTTP/1.1", "Host: a", "Connection: x, Host"), 400),
        (("GET / HTTP/1.1", "Host: a", "Expect: miracles"), 417),
        (("CONNECT a:443 HTTP/1.1", "Host: a"), 405),
        (("GET * HTTP/1.1", "Host: a"), 400),
        (("GET a HTTP/1.1", "Host: a"), 400),
        (("GET ftp://a/ HTTP/1.1", "Host: a"), 400),
        (("GET http://u:p@a/ HTTP/1.1", "Host: a"), 400),
        (("GET http:/// HTTP/1.1", "Host: a"), 400),
        (("GET /a#b HTTP/1.1", "Host: a"), 400),
        (("GET  / HTTP/1.1", "Host: a"), 400),
        (("GET / HTTP/1.1 ", "Host: a"), 400),
        (("G(T / HTTP/1.1", "Host: a"), 400),
        (("GET / HTTP/2.0", "Host: a"), 505),
        (("GET / HTTP/1.1", "Host: a", "X: " + "y" * HEAD_MAX), 431),
    ],
)
def test_a_head_with_two_readings_is_refused(lines: tuple[str, ...], status: int) -> None:
    """With the status that says why; none of it reaches a backend."""
    assert refusal(request(*lines)) == status


@pytest.mark.parametrize(
    "data", [b"\n", b"GET / HTTP/1.1\n", b"\x16\x03\x01", b"GET /\r\n", b"{", b"\r\nGET"]
)
def test_what_cannot_become_a_head_is_refused_at_once(data: bytes) -> None:
    """Nobody waits for the end of garbage."""
    assert refusal(data) == 400


# ---- h11 as the oracle --------------------------------------------------------------------------

GOOD = (
    request("POST /a HTTP/1.1", "Host: a.b", "Content-Length: 3", "X: y z") + b"abc",
    request("GET / HTTP/1.1", "host:a", "Transfer-Encoding: chunked", "Connection: close"),
    request("GET /x HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Host: q", "O: \xff"),
    request("OPTIONS * HTTP/1.1", "Host: [::1]:80", "TE: trailers", "Expect: 100-continue"),
    request("GET http://b/ HTTP/1.0", "Keep-Alive: 1", "Forwarded: for=1"),
)
HOP = {b"connection", b"keep-alive", b"te", b"upgrade", b"forwarded", b"expect", b"host"}


def by_h11(data: bytes) -> h11.Request | None:
    """What h11 makes of it; None for a refusal."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def end_to_end(event: h11.Request) -> list[tuple[bytes, bytes]]:
    named = {
        option.strip().lower()
        for name, value in event.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    return [
        (name, value)
        for name, value in event.headers
        if name not in HOP | named | {b"content_length", b"transfer_encoding"}
        and not name.startswith((b"proxy-", b"x-forwarded-", b"x-real-ip"))
    ]


def check_against_h11(data: bytes) -> bool:
    """Whether it was accepted; then h11 reads the same from the input and from what is passed."""
    try:
        head = read_request(data)
    except Refused:
        return False
    if head is None:
        return False
    theirs = by_h11(data)
    assert theirs is not None, "h11 refuses it"
    assert theirs.method == head.method
    passed = by_h11(
        head.passed + (b"" if b"\nhost:" in head.passed.lower() else b"Host: x\r\n") + b"\r\n"
    )
    assert passed is not None, "h11 refuses what is passed on"
    assert passed.target == head.target
    assert end_to_end(passed) == end_to_end(theirs)
    framing = dict(passed.headers)
    if head.framing == CHUNKED:
        assert framing[b"transfer-encoding"] == b"chunked"
    else:
        assert int(framing.get(b"content-length", b"0")) == head.framing
    return True


def every_edit(data: bytes) -> Iterator[bytes]:
    """Each byte replaced by each other, each inserted anywhere, each left out."""
    for position in range(len(data) + 1):
        for value in range(256):
            one = bytes([value])
            yield data[:position] + one + data[position:]
            yield data[:position] + one + data[position + 1 :]
        yield data[:position] + data[position + 1 :]


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_no_edit_of_a_byte_is_read_otherwise_than_h11_does(number: int) -> None:
    """Every eighth edit here; all of them in the long test."""
    edits = list(every_edit(GOOD[number]))[number::8]
    assert 0 < sum(map(check_against_h11, edits)) < len(edits)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(GOOD)))
def test_no_edit_at_all_is_read_otherwise_than_h11_does(number: int) -> None:
    """All edits of one byte."""
    assert sum(map(check_against_h11, every_edit(GOOD[number])))


pieces = st.sampled_from(
    [
        *(b"GET", b"POST", b" ", b"/", b"*", b"http://x/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n"),
        *(b"\n", b"\r", b"Host:", b"Host: a\r\n", b"Host: [::1]\r\n", b"Content-Length:", b" 5"),
        *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\x0b"),
        *(b"Transfer-Encoding : chunked\r\n", b" fold\r\n", b"\x00", b"\x7f", b"\xff", b"\x85"),
        *(b"Connection: x, te\r\n", b"Connection: close\r\n", b"Upgrade: a\r\n", b":", b"a"),
    ]
)


@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200), pieces), min_size=1, max_size=3),
)
@settings(max_examples=1500, deadline=None)
@example(GOOD[0], [(0, 17, b"Host: b\r\n")])
def test_no_mixture_is_read_otherwise_than_h11_does(
    data: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    """Pieces of heads put in, put over, cut out and cut off."""
    for kind, position, piece in edits:
        at = position % (len(data) + 1)
        rest = (data[at:], data[at + len(piece) :], data[at + 1 :], b"")[kind]
        data = data[:at] + (piece if kind < 2 else b"") + rest
    check_against_h11(data)


# ---- responses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "to_head", "framing", "keep_alive"),
    [
        (("HTTP/1.1 200 OK", "Content-Length: 5"), False, 5, True),
        (("HTTP/1.1 200 OK", "Content-Length: 5"), True, 0, True),
        (("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), False, CHUNKED, True),
        (("HTTP/1.1 200 OK",), False, UNTIL_CLOSE, False),
        (("HTTP/1.1 200",), False, UNTIL_CLOSE, False),
        (("HTTP/1.1 204 No Content",), False, 0, True),
        (("HTTP/1.1 304 Not Modified", "Content-Length: 9"), False, 0, True),
        (("HTTP/1.1 100 Continue",), False, 0, True),
        (("HTTP/1.0 200 OK", "Content-Length: 5"), False, 5, False),
        (("HTTP/1.0 200 OK", "Content-Length: 5", "Connection: keep-alive"), False, 5, True),
        (("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close"), False, 5, False),
    ],
)
def test_where_a_response_ends(
    lines: tuple[str, ...], to_head: bool, framing: int, keep_alive: bool
) -> None:
    """RFC 9112, section 6.3."""
    head = read_response(request(*lines), to_head=to_head)
    assert head is not None
    assert (head.framing, head.keep_alive) == (framing, keep_alive)
    assert b"connection" not in head.passed.lower()


@pytest.mark.parametrize(
    "lines",
    [
        ("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"),
        ("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip"),
        ("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"),
        ("HTTP/1.1 200 OK", "X : y"),
        ("HTTP/1.1 200 OK", "X: a\nY: b"),
        ("HTTP/1.1 20 OK",),
        ("HTTP/2 200 OK",),
        ("SSH-2.0",),
    ],
)
def test_a_response_with_two_readings_is_refused(lines: tuple[str, ...]) -> None:
    """502: the client gets nothing of it."""
    with pytest.raises(Refused) as raised:
        read_response(request(*lines), to_head=False)
    assert raised.value.status == 502


def test_a_response_of_other_line_ends_is_refused_at_once() -> None:
    """It is over without the end that a head has: nothing more would come."""
    with pytest.raises(Refused):
        read_response(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", to_head=False)


def test_a_response_may_come_in_any_pieces() -> None:
    """Every beginning of it is incomplete."""
    data = request("HTTP/1.1 200 OK", "Content-Length: 5", "Server: x")
    for size in range(len(data)):
        assert read_response(data[:size], to_head=False) is None
    head = read_response(data + b"hello", to_head=False)
    assert head is not None
    assert head.passed == data[:-2]
