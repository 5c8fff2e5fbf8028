"""What is read in one step means what the careful reading says."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.ingress.test_heads import every_edit, request
from volt_agent.ingress.forwarded import request_for, tail_for
from volt_agent.ingress.heads import Refused, read_request, read_response
from volt_agent.ingress.usual import read_answer, read_fields, usual_line

REQUESTS = (
    request("GET /a?b HTTP/1.1", "Host: A.Example.com:80", "Connection: keep-alive", "Cookie: a=b"),
    request("GET / HTTP/1.1", "connection:close", "User-Agent: x", "host: [::1]", "Te-st: 1"),
    request("HEAD / HTTP/1.1", "Host: a.", "Upgrade-Insecure-Requests: 1", "X-Request-Id: 7"),
)
ANSWERS = (
    request("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: keep-alive", "ETag: x"),
    request("HTTP/1.1 404 ", "Connection:Keep-Alive", "Date: now", "content-length:0"),
)
# Lines that mean something, to be mixed in.
LINES = (
    "Host: b", "host : a", "Connection: close", "Connection: upgrade", "Connection: x-hop",
    "Content-Length: 1", "content_length: 1", "Transfer-Encoding: chunked", "Expect: 100-continue",
    "Upgrade: h2c", "TE: trailers", "Keep-Alive: 5", "Proxy-Connection: close", "Forwarded: for=a",
    "X-Forwarded-For: a", "x_forwarded_host: a", "X-Real-IP: a", "Trailer: x", " folded: 1",
    "X-Hop: 1", "Transfer_Encoding: x", "X-Real_Ip: a", "X_Real-Ip: a", "Proxy_Authenticate: a",
)  # fmt: skip
TAIL = tail_for("192.0.2.1", is_tls=False)


def check_request(data: bytes) -> bool:
    """Whether it is a usual one; then the other reading is the same."""
    line = usual_line(data)
    fields = read_fields(data[line.end() :]) if line is not None else None
    if line is None or fields is None:
        return False
    head = read_request(data)
    assert head is not None
    assert head.size == len(data)
    assert line.groups() == (head.method, head.target)
    assert fields[0] == head.host
    assert fields[1] == head.authority
    assert line[0] + fields[2] + TAIL == request_for(head, TAIL)
    assert fields[3] == head.keep_alive
    assert (head.framing, head.upgrade, head.expects_continue) == (0, None, False)
    assert not head.forwarded
    assert not head.is_http10
    return True


def check_answer(data: bytes) -> bool:
    """The same for an answer."""
    usual = read_answer(data)
    if usual is None:
        return False
    assert usual == read_response(data, to_head=False)
    return True


def test_no_edit_of_a_byte_gives_a_request_another_meaning() -> None:
    """Every fourth edit of all; those that have two readings are left to the strict one."""
    for number, data in enumerate(REQUESTS):
        assert check_request(data)
        edits = list(every_edit(data))[number::4]
        assert 0 < sum(map(check_request, edits)) < len(edits)


def test_no_edit_of_a_byte_gives_an_answer_another_meaning() -> None:
    for number, data in enumerate(ANSWERS):
        assert check_answer(data)
        edits = list(every_edit(data))[number::4]
        assert 0 < sum(map(check_answer, edits)) < len(edits)


_mixed = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(LINES)), max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(REQUESTS + ANSWERS), _mixed)
@example(REQUESTS[0], [(2, "Host: a.example.com")])
@example(REQUESTS[1], [(2, "Connection: keep-alive")])
def test_no_mixture_has_another_meaning(data: bytes, mixed: list[tuple[int, str]]) -> None:
    """Lines that matter are in any place, once and twice: nothing is taken that is refused."""
    lines = data.decode("latin-1").split("\r\n")[:-2]
    for position, line in mixed:
        lines.insert(position, line)
    mixture = request(*lines)
    if data in REQUESTS:
        check_request(mixture)
    else:
        check_answer(mixture)


def test_what_was_read_before_is_read_the_same_way() -> None:
    """Also when it comes from memory."""
    assert all(check_request(each) for _ in range(4) for each in REQUESTS)
    assert all(check_answer(each) for _ in range(4) for each in ANSWERS)


def test_refused_heads_stay_refused() -> None:
    """Two hosts, two lengths: not usual, and not legal."""
    for data in (request("GET / HTTP/1.1", "Host: a", "Host: a"), request("GET / HTTP/1.1")):
        assert not check_request(data)
        try:
            read_request(data)
        except Refused:
            continue
        raise AssertionError(data)
