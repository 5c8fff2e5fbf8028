"""What a client may take: bytes, time, connections."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.control.rig import PATIENCE, Rig, read_all, wait_until
from tests.control.test_connection import ALIVE, HEAD, HEALTH, LIST
from volt_agent.control.connection import Limits, Phase
from volt_agent.control.server import choose_victim

HASTY = Limits(idle=0.3, head=0.2, body=0.2, send=0.3, linger=0.2)
MIB = 1 << 20


def post(length: int) -> bytes:
    return b"POST /v1/net.list HTTP/1.1\r\ncontent-length: %d\r\n" % length + HEAD


def send_all_we_can(sock: socket.socket, total: int, block: bytes = b" " * 65536) -> None:
    """Send `total` bytes, or fewer if the other side stops it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(total // len(block)):
            sock.sendall(block)


def test_a_body_of_exactly_the_limit_is_read() -> None:
    """1 MiB is allowed."""
    with Rig() as rig:
        body = b"{}" + b" " * (MIB - 2)
        assert rig.request("POST", "/v1/net.list", body)[0] == 200


def test_a_100_mb_request_is_refused_at_once() -> None:
    """413 before the first byte of the body, when its length is declared."""
    with Rig() as rig, rig.connect() as sock:
        sock.sendall(post(100 * MIB))
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_100_mb_request_sees_its_answer_and_costs_no_memory() -> None:
    """A client that sends regardless finds the 413, not a reset."""
    with Rig() as rig, rig.connect() as sock:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sock.sendall(post(100 * MIB))
        send_all_we_can(sock, 100 * MIB)
        assert b"413" in sock.recv(65536)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_an_endless_chunked_body_is_refused_while_it_comes() -> None:
    """Without a declared length, 413 as soon as the limit is passed."""
    with Rig() as rig, rig.connect() as sock:
        sock.sendall(b"POST /v1/net.list HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HEAD)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        send_all_we_can(sock, 100 * MIB, block=b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_many_tiny_chunks_do_not_hold_up_the_others() -> None:
    """A body of one-byte chunks costs its sender, not the loop."""
    with Rig() as rig, rig.connect() as sock:
        sock.sendall(b"POST /v1/net.list HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HEAD)
        chunks = b"1\r\n \r\n" * 10_000
        sender = threading.Thread(target=send_all_we_can, args=(sock, len(chunks), chunks))
        sender.start()
        slowest = 0.0
        while sender.is_alive():
            started = time.perf_counter()
            assert rig.request("GET", "/healthz")[0] == 200
            slowest = max(slowest, time.perf_counter() - started)
        sender.join()
        assert slowest < 5


def test_a_slow_head_is_shed() -> None:
    """A head that does not get finished: 408, and the connection closes."""
    with Rig(limits=HASTY) as rig, rig.connect() as sock:
        sock.sendall(HEALTH + HEALTH[:20])
        raw = read_all(sock)
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in raw


def test_a_head_that_trickles_is_shed() -> None:
    """Every byte does not buy more time."""
    with Rig(limits=HASTY) as rig, rig.connect() as sock:
        sock.settimeout(0.02)
        started = time.monotonic()
        received = b""
        for byte in b"GET / HTTP/1.1\r\nx: " + b"a" * 1000:
            try:
                sock.send(bytes((byte,)))
                received += sock.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if b"408" in received:
                break
        assert b"408" in received
        assert time.monotonic() - started < PATIENCE


def test_a_slow_body_is_shed() -> None:
    """A body that does not come: 408."""
    with Rig(limits=HASTY) as rig, rig.connect() as sock:
        sock.sendall(post(10))
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_silently() -> None:
    """After the idle time there is nothing to say."""
    with Rig(limits=HASTY) as rig, rig.connect() as sock:
        sock.sendall(HEALTH)
        assert read_all(sock).endswith(ALIVE)


def test_a_client_that_does_not_take_its_answer_is_dropped() -> None:
    """A full socket does not keep a connection for ever."""

    async def large(params: object) -> Any:
        return "x" * 4 * MIB

    with Rig({"net.list": large}, limits=HASTY) as rig, rig.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(LIST)
        wait_until(lambda: rig.connected() == 0, "it is dropped")


def test_a_thousand_idle_connections_lock_nobody_out() -> None:
    """The oldest idle ones make room; a client that is being answered stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    begun, go_on = threading.Event(), threading.Event()

    async def slow(params: object) -> list[Any]:
        begun.set()
        await asyncio.to_thread(go_on.wait, PATIENCE)
        return []

    try:
        with Rig({"net.list": slow}) as rig, ExitStack() as stack:
            busy = stack.enter_context(rig.connect())
            busy.sendall(LIST)
            assert begun.wait(PATIENCE)
            idle = [stack.enter_context(rig.connect()) for _ in range(1000)]
            assert rig.request("GET", "/healthz")[0] == 200
            wait_until(lambda: rig.connected() <= 512, "the rest is closed")
            assert idle[0].recv(1) == b"", "the oldest is closed"
            idle[-1].sendall(HEALTH)
            assert idle[-1].recv(65536).endswith(ALIVE), "the newest is served"
            go_on.set()
            assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_sent_heads_make_room_as_well() -> None:
    """A thousand slow heads are a thousand idle connections."""
    with Rig(limits=Limits(connections=8)) as rig, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(rig.connect()).sendall(HEALTH[:10])
        assert rig.request("GET", "/healthz")[0] == 200


def test_streams_make_room_after_everything_else() -> None:
    """Followers of events cannot lock anybody out, and are not the first to go."""
    with Rig(limits=Limits(connections=4)) as rig, ExitStack() as stack:
        streams = [stack.enter_context(rig.connect()) for _ in range(3)]
        for sock in streams:
            sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HEAD)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(5):
            assert rig.request("GET", "/healthz")[0] == 200
        streams[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            streams[0].recv(1)


def test_when_all_are_busy_a_newcomer_is_told() -> None:
    """503 instead of silence; the handlers under way are not touched."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    async def slow(params: object) -> list[Any]:
        begun.release()
        await asyncio.to_thread(go_on.wait, PATIENCE)
        return []

    with Rig({"net.list": slow}, limits=Limits(connections=2)) as rig, ExitStack() as stack:
        busy = [stack.enter_context(rig.connect()) for _ in range(2)]
        for sock in busy:
            sock.sendall(LIST)
            assert begun.acquire(timeout=PATIENCE)
        with rig.connect() as newcomer:
            raw = newcomer.recv(65536)
        assert raw.startswith(b"HTTP/1.1 503 ")
        assert b'"busy"' in raw
        go_on.set()
        assert all(sock.recv(65536).startswith(b"HTTP/1.1 200 ") for sock in busy)


class Client:
    """As much of a Connection as the choice needs."""

    def __init__(self, phase: Phase, since: float) -> None:
        self.phase, self.since = phase, since


def test_who_has_to_make_room() -> None:
    """Idle before reading before streaming, the longest first, and answering never."""
    answering = Client(Phase.ANSWERING, 0)
    streaming = Client(Phase.STREAMING, 1)
    reading = Client(Phase.READING, 2)
    young, old = Client(Phase.IDLE, 9), Client(Phase.IDLE, 3)
    everybody: list[Any] = [answering, young, streaming, reading, old]
    order = []
    while (victim := choose_victim(everybody)) is not None:
        order.append(victim)
        everybody.remove(victim)
    wanted: list[Any] = [old, young, reading, streaming]
    assert order == wanted
    assert everybody == [answering]
