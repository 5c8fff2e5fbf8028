"""The event stream both ways: JSON lines and WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.control.rig import NOON, PATIENCE, Rig, read_all, wait_until
from tests.control.test_connection import HEAD
from volt_agent.bus import Bus
from volt_agent.control.event_log import EventLog, encode_event
from volt_agent.control.events_client import follow_events
from volt_agent.errors import AgentNotRunning, Invalid
from volt_agent.events import OUTCOMES, Degraded, NamesFlushed, PortSeen

FOLLOW = b"GET /v1/events?recent=2 HTTP/1.1\r\n" + HEAD


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def flushed(count: int) -> list[NamesFlushed]:
    return [NamesFlushed(entries=number) for number in range(count)]


def entries(lines: list[bytes]) -> list[int]:
    return [json.loads(line)["entries"] for line in lines]


# ---- the ring -----------------------------------------------------------------------------------


def test_an_event_is_its_name_the_time_and_its_fields() -> None:
    """The stable form of an event on the wire."""
    event = PortSeen(interface="vb-web", network="backend", workload="web")
    assert json.loads(encode_event(event, NOON)) == {
        "event": "port.seen",
        "time": "2026-01-02T12:00:00.123000Z",
        "interface": "vb-web",
        "network": "backend",
        "workload": "web",
    }


def test_no_outcome_has_a_field_that_hides_another() -> None:
    """`event` and `time` are ours."""
    for each in OUTCOMES:
        assert not {"event", "time"} & set(each.__struct_fields__)


def make_log(size: int) -> tuple[Bus, EventLog]:
    bus = Bus()
    return bus, EventLog(bus, clock=lambda: NOON, size=size)


def test_the_ring_keeps_the_last_ones() -> None:
    """It never grows, and forgets the oldest."""
    bus, log = make_log(3)
    for event in flushed(5):
        bus.publish(event)
    assert entries(log.recent(10)) == [2, 3, 4]
    assert entries(log.recent(2)) == [3, 4]
    assert log.recent(0) == []
    assert repr(log) == "<EventLog [3 of 5 events]>"


def test_observations_are_not_shown() -> None:
    """What the kernel reports is the agent's business."""
    from volt_agent.events import SysctlChanged

    bus, log = make_log(3)
    bus.publish(SysctlChanged(interface="volt0"))
    assert log.recent(1) == []


def test_a_slow_reader_is_told_what_it_lost() -> None:
    """In place of the lost events comes how many they were."""

    async def scenario() -> list[bytes]:
        bus, log = make_log(3)
        batches = log.follow(0)
        bus.publish(NamesFlushed(entries=-1))
        first = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        for event in flushed(5):
            bus.publish(event)
        await first
        for event in flushed(5):
            bus.publish(event)
        return await anext(batches)

    lost, *rest = asyncio.run(scenario())
    assert json.loads(lost) == {"event": "lost", "count": 2}
    assert entries(rest) == [2, 3, 4]


def test_time_stamps_are_those_of_the_moment() -> None:
    """An event is stamped when it is published, not when it is read."""
    times = iter([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)])
    bus = Bus()
    log = EventLog(bus, clock=lambda: next(times))
    for event in flushed(2):
        bus.publish(event)
    assert [json.loads(line)["time"][:10] for line in log.recent(2)] == ["2026-01-01", "2026-01-02"]


# ---- JSON lines ---------------------------------------------------------------------------------


def test_recent_events_without_following(rig: Rig) -> None:
    """A plain, finite answer."""
    rig.publish(*flushed(5))
    status, headers, body = rig.request("GET", "/v1/events?follow=false&recent=2")
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert entries(body.splitlines()) == [3, 4]


def test_lines_follow(rig: Rig) -> None:
    """The last ones, then each as it comes, in chunks."""
    rig.publish(*flushed(3))
    with rig.connect() as sock:
        sock.sendall(FOLLOW)
        reader = sock.makefile("rb")
        while reader.readline() != b"\r\n":
            pass
        reader.readline()  # the length of the chunk
        assert entries([reader.readline(), reader.readline()]) == [1, 2]
        rig.publish(Degraded(what="volt0", reason="it is down"))
        assert reader.readline() == b"\r\n"
        reader.readline()
        assert json.loads(reader.readline())["reason"] == "it is down"
        reader.close()


def test_a_follower_that_leaves_is_forgotten(rig: Rig) -> None:
    """No task and no socket stays behind."""
    with rig.connect() as sock:
        sock.sendall(FOLLOW)
        assert sock.recv(1000)
        wait_until(lambda: rig.connected() == 1, "it is connected")
    wait_until(lambda: rig.connected() == 0, "it is gone")


def test_a_follower_that_never_reads_loses_events_and_holds_up_nobody(rig: Rig) -> None:
    """The others see everything, the memory stays, and the slow one is told of the gap."""
    with rig.connect() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(FOLLOW)
        assert lazy.recv(300)
        for _ in range(30):
            rig.publish(*flushed(1000))
        _, _, body = rig.request("GET", "/v1/events?follow=false&recent=5000")
        assert len(body.splitlines()) == 1000
        received = b""
        while b'"lost"' not in received:
            received += lazy.recv(65536)


def test_http_1_0_followers_get_the_plain_stream(rig: Rig) -> None:
    """Without chunks, until the connection ends."""
    rig.publish(*flushed(1))
    with rig.connect() as sock:
        sock.sendall(b"GET /v1/events?recent=1 HTTP/1.0\r\n\r\n")
        received = b""
        while b"entries" not in received:
            received += sock.recv(65536)
        body = received.partition(b"\r\n\r\n")[2]
        assert json.loads(body)["event"] == "dns.flushed"


def test_stopping_ends_the_streams(rig: Rig) -> None:
    """A follower sees the end of the stream, not a time-out."""
    with rig.connect() as sock:
        sock.sendall(FOLLOW)
        assert sock.recv(1000)
        rig.stop()
        assert b"0\r\n\r\n" not in read_all(sock), "it is cut off, not complete"


# ---- WebSocket ----------------------------------------------------------------------------------


class WebSocket:
    """A client by hand: wsproto on a blocking socket."""

    def __init__(self, sock: socket.socket, target: str) -> None:
        self._sock = sock
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.send(Request(host="volt", target=target))

    def send(self, event: Event) -> None:
        self._sock.sendall(self._protocol.send(event))

    def next(self) -> Event | None:
        """The next event, None at the end of the connection."""
        while True:
            for event in self._protocol.events():
                return event
            data = self._sock.recv(65536)
            if not data:
                return None
            self._protocol.receive_data(data)


def test_websocket_messages_are_events(rig: Rig) -> None:
    """One text message for each."""
    rig.publish(*flushed(2))
    with rig.connect() as sock:
        client = WebSocket(sock, "/v1/events?recent=1")
        assert isinstance(client.next(), AcceptConnection)
        message = client.next()
        assert isinstance(message, TextMessage)
        assert json.loads(message.data)["entries"] == 1


def test_websocket_ping_and_close(rig: Rig) -> None:
    """A ping is answered, and so is the closing handshake (RFC 6455, sections 5.5.1 and 5.5.2)."""
    with rig.connect() as sock:
        client = WebSocket(sock, "/v1/events")
        assert isinstance(client.next(), AcceptConnection)
        client.send(Ping(payload=b"there?"))
        assert client.next() == Pong(payload=b"there?")
        client.send(TextMessage(data="nobody listens to this"))
        client.send(CloseConnection(code=1000))
        answer = client.next()
        assert isinstance(answer, CloseConnection)
        assert answer.code == 1000
        assert client.next() is None


def test_websocket_rubbish_ends_the_connection(rig: Rig) -> None:
    """A protocol error is answered with 1002."""
    with rig.connect() as sock:
        client = WebSocket(sock, "/v1/events")
        assert isinstance(client.next(), AcceptConnection)
        sock.sendall(b"\xff\xff\xff\xff")
        answer = client.next()
        assert isinstance(answer, CloseConnection)
        assert answer.code == 1002


def test_stopping_says_goodbye(rig: Rig) -> None:
    """1001, going away: the client knows that it was not the network."""
    with rig.connect() as sock:
        client = WebSocket(sock, "/v1/events")
        assert isinstance(client.next(), AcceptConnection)
        rig.stop()
        goodbye = client.next()
        assert isinstance(goodbye, CloseConnection)
        assert goodbye.code == 1001


@pytest.mark.parametrize("version", [b"8", None])
def test_a_broken_handshake_is_refused(rig: Rig, version: bytes | None) -> None:
    """400 with the reason."""
    key = base64.b64encode(os.urandom(16))
    head = b"GET /v1/events HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    head += b"sec-websocket-key: " + key + b"\r\n"
    if version is not None:
        head += b"sec-websocket-version: " + version + b"\r\n"
    raw = rig.exchange(head + HEAD)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"not a WebSocket handshake" in raw


def test_an_upgrade_elsewhere_is_ignored(rig: Rig) -> None:
    """Only the events can be a WebSocket."""
    with rig.connect() as sock:
        client = WebSocket(sock, "/healthz")
        refusal = client.next()
    assert isinstance(refusal, RejectConnection)
    assert refusal.status_code == 200


# ---- trio-websocket, a second implementation ----------------------------------------------------


def test_trio_websocket_follows(rig: Rig) -> None:
    """The client of `volt events --follow` sees recent and new events, and the end."""
    rig.publish(*flushed(3))
    seen: list[int] = []

    def show(event: str) -> None:
        seen.append(json.loads(event)["entries"])
        if seen == [1, 2]:
            rig.publish(NamesFlushed(entries=77))
        elif seen[-1] == 77:
            rig.stop()

    with pytest.raises(AgentNotRunning, match="ended the event stream"):
        follow_events(rig.client().connect(), 2, show)
    assert seen == [1, 2, 77]


def test_trio_websocket_passes_on_what_show_raises(rig: Rig) -> None:
    """A closed pipe is the caller's to handle, unwrapped."""
    rig.publish(*flushed(1))

    def show(event: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        follow_events(rig.client().connect(), 1, show)


def test_trio_websocket_reports_a_refusal(rig: Rig) -> None:
    """The agent's own error, not one of the handshake."""
    with pytest.raises(Invalid, match="recent=NUMBER"):
        follow_events(rig.client().connect(), -1, print)


def test_many_followers_see_the_same(rig: Rig) -> None:
    """Readers do not take events from each other."""
    socks = [rig.connect() for _ in range(20)]
    try:
        for sock in socks:
            sock.sendall(FOLLOW)
            assert b"200" in sock.recv(1000)
        rig.publish(NamesFlushed(entries=5))
        for sock in socks:
            sock.settimeout(PATIENCE)
            assert b'"entries":5' in sock.recv(1000)
    finally:
        for sock in socks:
            sock.close()
