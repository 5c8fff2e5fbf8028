"""Bytes in, bytes out: HTTP on a real Unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import threading
from contextlib import ExitStack
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.control.rig import Rig, read_all, wait_until
from volt_agent.control.connection import Limits, declared_length, request_of

HEAD = b"host: volt\r\n\r\n"
LIST = b"POST /v1/net.list HTTP/1.1\r\ncontent-length: 0\r\n" + HEAD
HEALTH = b"GET /healthz HTTP/1.1\r\n" + HEAD
ALIVE = b'{\n  "alive": true\n}\n'


@pytest.fixture(scope="module")
def rig():  # type: ignore[no-untyped-def]
    with Rig() as rig:
        yield rig


def answers(raw: bytes, *verbs: str) -> list[tuple[int, dict[str, str], bytes]]:
    """The responses in `raw`, one for each verb, parsed by h11."""
    found = []
    client = h11.Connection(h11.CLIENT)
    client.receive_data(raw)
    client.receive_data(b"")
    for verb in verbs:
        client.send(h11.Request(method=verb, target="/", headers=[("host", "volt")]))
        client.send(h11.EndOfMessage())
        found.append(_one(client))
        if client.our_state is h11.DONE and client.their_state is h11.DONE:
            client.start_next_cycle()
    return found


def _one(client: h11.Connection) -> tuple[int, dict[str, str], bytes]:
    head, body = None, b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
    assert head is not None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return head.status_code, headers, body


def test_a_call(rig: Rig) -> None:
    """POST with parameters, 200 with the result as one line of JSON."""
    status, headers, body = rig.request("POST", "/v1/net.inspect", b'{"name": "backend"}')
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["date"].endswith("GMT")
    assert body.endswith(b"}\n")
    assert json.loads(body)["subnet"] == "10.30.0.0/24"


def test_an_error(rig: Rig) -> None:
    """Not found: 404 and the three fields."""
    status, _, body = rig.request("POST", "/v1/net.delete", b'{"name": "nope"}')
    assert status == 404
    assert json.loads(body)["error"] == {
        "code": "not_found",
        "message": "there is no network nope",
        "hint": "volt net list shows them",
    }


def test_keep_alive(rig: Rig) -> None:
    """Several requests on one connection."""
    with rig.connect() as sock:
        for _ in range(3):
            sock.sendall(HEALTH)
            assert sock.recv(65536).endswith(ALIVE)


def test_pipelining(rig: Rig) -> None:
    """Requests sent in one go are answered in order."""
    found = answers(rig.exchange(HEALTH + LIST + HEALTH), "GET", "POST", "GET")
    assert [status for status, _, _ in found] == [200, 200, 200]
    assert [found[0][2], found[2][2]] == [ALIVE, ALIVE]
    assert json.loads(found[1][2])[0]["name"] == "volt0"


def test_one_byte_at_a_time(rig: Rig) -> None:
    """A head and a body may come in any pieces."""
    with rig.connect() as sock:
        for byte in HEALTH:
            sock.send(bytes((byte,)))
        assert sock.recv(65536).endswith(ALIVE)


def test_connection_close_is_honoured(rig: Rig) -> None:
    """The connection ends after the answer to a request that says so."""
    with rig.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n" + HEAD)
        assert read_all(sock).endswith(ALIVE)


def test_http_1_0(rig: Rig) -> None:
    """An old client gets its answer and the end of the connection."""
    with rig.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert read_all(sock).endswith(ALIVE)


def test_head_has_no_body(rig: Rig) -> None:
    """HEAD announces the length of GET and sends nothing."""
    raw = rig.exchange(b"HEAD /healthz HTTP/1.1\r\n" + HEAD + HEALTH)
    (head, get) = answers(raw, "HEAD", "GET")
    assert head[1]["content-length"] == str(len(ALIVE))
    assert (head[2], get[2]) == (b"", ALIVE)


def test_a_refused_request_without_a_body_keeps_the_connection(rig: Rig) -> None:
    """405 and 404 are ordinary answers."""
    wrong = b"GET /v1/net.list HTTP/1.1\r\n" + HEAD + b"GET /nope HTTP/1.1\r\n" + HEAD
    found = answers(rig.exchange(wrong + HEALTH), "GET", "GET", "GET")
    assert [status for status, _, _ in found] == [405, 404, 200]
    assert found[0][1]["allow"] == "POST"


def test_absolute_form(rig: Rig) -> None:
    """A target with scheme and authority is that of its path (RFC 9112, section 3.2.2)."""
    assert b"200 OK" in rig.exchange(b"GET http://volt/healthz HTTP/1.1\r\n" + HEAD)


def test_a_chunked_body(rig: Rig) -> None:
    """Chunked parameters are parameters."""
    raw = rig.exchange(
        b"POST /v1/net.inspect HTTP/1.1\r\ntransfer-encoding: chunked\r\n"
        + HEAD
        + b'8\r\n{"name":\r\na\r\n"backend"}\r\n0\r\n\r\n'
    )
    assert b"200 OK" in raw


def test_expect_100_continue(rig: Rig) -> None:
    """A client that asks first is told to go on, then answered."""
    with rig.connect() as sock:
        sock.sendall(
            b"POST /v1/net.inspect HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 18\r\n"
            + HEAD
        )
        assert sock.recv(65536).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b'{"name":"backend"}')
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_expect_100_continue_is_not_answered_where_the_body_is_not_wanted(rig: Rig) -> None:
    """The refusal comes at once; the body is never sent."""
    raw = rig.exchange(
        b"POST /v1/nope HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 18\r\n" + HEAD
    )
    assert raw.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what is this\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\n" + HEAD, 505),
        (b"GET /heal\x00thz HTTP/1.1\r\n" + HEAD, 400),
        (b"POST /v1/net.list HTTP/1.1\r\ncontent-length: -1\r\n" + HEAD, 400),
        (b"POST /v1/net.list HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n" + HEAD, 400),
        (b"POST /v1/net.list HTTP/1.1\r\ntransfer-encoding: gzip\r\n" + HEAD, 501),
        (b"POST /v1/net.list HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HEAD + b"zz\r\n", 400),
        (b"POST /v1/net.list HTTP/1.1\r\ncontent-length: 9\r\n" + HEAD + b"{", 400),
        (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n" + HEAD, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 40000 + b"\r\n" + HEAD, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 8000 + HEAD, 431),
    ],
)
def test_what_is_not_http_is_refused(rig: Rig, sent: bytes, status: int) -> None:
    """A JSON error with the right status, then the connection closes."""
    raw = rig.exchange(sent)
    ((found, headers, body),) = answers(raw, "GET")
    assert found == status
    assert headers["connection"] == "close"
    assert json.loads(body)["error"]["message"]


def test_nothing_is_not_answered(rig: Rig) -> None:
    """A client that connects and leaves is no error."""
    assert rig.exchange(b"") == b""


def test_tcp_has_the_status_pages_only(rig: Rig) -> None:
    """status.listen serves four paths, and no RPC."""
    for path in ("/healthz", "/readyz", "/status", "/metrics"):
        assert rig.request("GET", path, over_tcp=True)[0] == 200
    assert rig.request("POST", "/v1/net.list", b"{}", over_tcp=True)[0] == 404
    assert rig.request("GET", "/v1/openapi.json", over_tcp=True)[0] == 404


def test_a_handler_runs_to_its_end_without_its_client() -> None:
    """A change that has begun is not left half done because somebody pressed Ctrl-C."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    async def slow(params: object) -> list[Any]:
        begun.set()
        await asyncio.to_thread(go_on.wait, 10)
        done.set()
        return []

    with Rig({"net.list": slow}) as rig:
        with rig.connect() as sock:
            sock.sendall(LIST)
            assert begun.wait(10)
        go_on.set()
        assert done.wait(10)


def test_stopping_lets_a_running_handler_answer() -> None:
    """The server stops taking requests, and the one under way is answered."""
    begun, go_on = threading.Event(), threading.Event()

    async def slow(params: object) -> list[Any]:
        begun.set()
        await asyncio.to_thread(go_on.wait, 10)
        return []

    with Rig({"net.list": slow}) as rig, rig.connect() as busy, rig.connect() as idle:
        busy.sendall(LIST)
        assert begun.wait(10)
        rig.stop()
        assert read_all(idle) == b""
        go_on.set()
        raw = read_all(busy)
    assert raw.startswith(b"HTTP/1.1 200 ")


def test_stopping_does_not_wait_for_ever() -> None:
    """A handler that hangs is given up after the grace."""
    begun = threading.Event()

    async def stuck(params: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    with Rig({"net.list": stuck}, limits=Limits(grace=0.1)) as rig, rig.connect() as sock:
        sock.sendall(LIST)
        assert begun.wait(10)
        rig.stop()
        assert read_all(sock) == b""


def test_a_shortage_of_descriptors_passes() -> None:
    """While accept() fails, idle clients make room; afterwards everybody is served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Rig() as rig, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(rig.connect()).sendall(HEALTH)
        wait_until(lambda: rig.connected() == 20, "all are connected")
        newcomer = stack.enter_context(socket.socket(socket.AF_UNIX))
        used = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            newcomer.connect(rig.path)
            newcomer.sendall(HEALTH)
            newcomer.settimeout(60)
            assert newcomer.recv(65536).endswith(ALIVE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_repr_tells_how_many_are_connected(rig: Rig) -> None:
    """Logs and debuggers see the state."""
    with rig.connect() as sock:
        sock.sendall(HEALTH)
        sock.recv(1000)
        assert rig.connected() >= 1


@given(st.binary(max_size=300))
def test_any_target_is_a_request(target: bytes) -> None:
    """No target that h11 lets pass makes the server stumble."""
    try:
        head = h11.Request(method="GET", target=target, headers=[("host", "volt")])
    except h11.LocalProtocolError:
        return
    request = request_of(head, None)
    assert "?" not in request.path
    assert declared_length(head) == 0


def test_fuzzed_streams_never_break_the_server(rig: Rig) -> None:
    """Whatever is sent, the next client is served (see also the logs: no traceback)."""

    @given(st.binary(max_size=400))
    def send(garbage: bytes) -> None:
        rig.exchange(garbage)
        rig.exchange(
            b"POST /v1/net.list HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HEAD + garbage
        )

    send()
    assert rig.request("GET", "/healthz")[0] == 200


def test_a_client_that_only_listens_gets_nothing(rig: Rig) -> None:
    """Half-closed sockets end the connection."""
    with rig.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
    wait_until(lambda: rig.request("GET", "/healthz")[0] == 200, "it is served")
