"""TCP on loopback: frames, limits, slow readers."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dnslib import DNSRecord

from volt_agent.dns import tcp
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.tcp import TcpClients, TcpListener

from .origin import origin
from .world import BACKEND, Desk, attached, network, packet, run, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def frame(query: bytes) -> bytes:
    return len(query).to_bytes(2, "big") + query


async def read_reply(streams: Streams) -> DNSRecord:
    length = int.from_bytes(await streams[0].readexactly(2), "big")
    return DNSRecord.parse(await streams[0].readexactly(length))


async def has_ended(streams: Streams) -> bool:
    """Whether the server has closed the connection; waits until it has."""
    try:
        return await streams[0].read(1) == b""
    except ConnectionResetError:
        return True


class Door:
    """A listener on loopback."""

    def __init__(self, desk: Desk, sock: socket.socket) -> None:
        self.desk = desk
        self.clients = TcpClients(desk.counters, lambda: desk.now)
        self.listener = TcpListener(sock, BACKEND, desk.responder, self.clients)
        self.address = sock.getsockname()
        self._open: list[asyncio.StreamWriter] = []

    async def connect(self, receive_buffer: int | None = None) -> Streams:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        limit = 2**16 if receive_buffer is None else 256
        streams = await asyncio.open_connection(sock=sock, limit=limit)
        self._open.append(streams[1])
        return streams

    async def close(self) -> None:
        self.listener.close()
        self.clients.close_all()
        for writer in self._open:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def door(desk: Desk | None = None) -> AsyncIterator[Door]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind(("127.0.0.1", 0))
    sock.listen(512)
    made = Door(desk or Desk(), sock)
    try:
        yield made
    finally:
        await made.close()


def with_long_names(count: int) -> Desk:
    """A desk where `big` has `count` addresses: 16 octets of reply for each."""
    desk = Desk()
    for i in range(count):
        where = f"n{i}"
        subnet = f"10.{80 + (i >> 8)}.{i & 255}"
        desk.commit(network(where, f"{subnet}.0/24"), *attached(where, "big", f"{subnet}.9"))
    return desk


def test_pipelined_queries_are_all_answered() -> None:
    """More than one turn of them, sent at once, on one connection."""

    async def main() -> None:
        async with door() as here:
            streams = await here.connect()
            count = 3 * tcp.ANSWERS_PER_TURN
            streams[1].write(b"".join(frame(packet("db", id=i)) for i in range(count)))
            replies = [await read_reply(streams) for _ in range(count)]
            assert [each.header.id for each in replies] == list(range(count))
            assert {str(each.rr[0].rdata) for each in replies} == {"10.30.0.5"}

    run(main())


def test_a_query_may_come_in_pieces() -> None:
    """Octet by octet."""

    async def main() -> None:
        async with door() as here:
            streams = await here.connect()
            for octet in frame(packet("db")):
                streams[1].write(bytes([octet]))
                await asyncio.sleep(0)
            assert (await read_reply(streams)).rr

    run(main())


def test_answers_come_as_they_are_ready() -> None:
    """RFC 7766, section 7: a slow upstream server does not hold up names of ours."""

    async def main() -> None:
        async with origin() as server:
            desk = Desk(settings=DnsSettings(upstreams=(server.address,)))
            async with door(desk) as here:
                server.held.clear()
                streams = await here.connect()
                outside, ours = packet("www.example.com", id=1), packet("db", id=2)
                streams[1].write(frame(outside) + frame(ours))
                assert (await read_reply(streams)).header.id == 2
                server.held.set()
                assert (await read_reply(streams)).header.id == 1

    run(main())


def test_a_client_that_says_goodbye_still_gets_its_answers() -> None:
    """It has shut down its side; then the connection ends."""

    async def main() -> None:
        async with origin() as server:
            desk = Desk(settings=DnsSettings(upstreams=(server.address,)))
            async with door(desk) as here:
                streams = await here.connect()
                streams[1].write(frame(packet("www.example.com")))
                streams[1].write_eof()
                assert (await read_reply(streams)).rr
                assert await has_ended(streams)
                assert len(here.clients) == 0

    run(main())


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\0\0", id="an empty frame"),
        pytest.param(b"\xff\xff" + b"a" * 100, id="a frame that is too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="not DNS"),
        pytest.param(frame(b"\0" * 5), id="no header"),
        pytest.param(frame(packet("db")[:2] + b"\x80" + packet("db")[3:]), id="a reply"),
    ],
)
def test_what_is_not_dns_is_hung_up_on(octets: bytes) -> None:
    """And so are cut and endless frames."""

    async def main() -> None:
        async with door() as here:
            streams = await here.connect()
            streams[1].write(octets)
            assert await has_ended(streams)

    run(main())


def test_the_idle_are_closed() -> None:
    """After the time-out, and not if they asked meanwhile; single octets do not count."""

    async def main() -> None:
        async with door() as here:
            quiet, busy = await here.connect(), await here.connect()
            busy[1].write(frame(packet("db")))
            await read_reply(busy)
            here.desk.now += tcp.IDLE_SECONDS - 1
            quiet[1].write(b"\0")
            busy[1].write(frame(packet("db")))
            await read_reply(busy)
            here.desk.now += 2
            assert await has_ended(quiet)
            assert len(here.clients) == 1

    run(main())


def test_over_the_cap_of_one_client_its_oldest_idle_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The new one is served."""
    monkeypatch.setattr(tcp, "CONNECTIONS_PER_CLIENT", 3)

    async def main() -> None:
        async with door() as here:
            streams = [await here.connect() for _ in range(4)]
            streams[3][1].write(frame(packet("db")))
            assert (await read_reply(streams[3])).rr
            assert await has_ended(streams[0])
            assert (here.desk.counters.connections, here.desk.counters.connections_evicted) == (
                3,
                1,
            )

    run(main())


def test_200_idle_connections_do_not_stop_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hoards connections loses his own."""
    monkeypatch.setattr(tcp, "CONNECTIONS_PER_CLIENT", 1000)
    monkeypatch.setattr(tcp, "CONNECTIONS_MAX", 100)

    async def main() -> None:
        async with door() as here:
            for _ in range(200):
                await here.connect()
            streams = await here.connect()
            streams[1].write(frame(packet("db")))
            assert (await read_reply(streams)).rr
            assert len(here.clients) == 100

    run(main())


class Waiting:
    """Stands for a connection where only the book-keeping is looked at."""

    def __init__(self, host: str, is_idle: bool = True) -> None:
        self.host = host
        self.is_idle = is_idle


@pytest.mark.parametrize(
    ("present", "host", "goes"),
    [
        pytest.param(["a", "a", "b"], "a", None, id="there is room"),
        pytest.param(["b", "a", "a", "a"], "a", 1, id="its own oldest"),
        pytest.param(["b", "A", "a", "a"], "a", 2, id="its own oldest idle"),
        pytest.param(["A", "A", "A"], "a", 0, id="none is idle: the oldest"),
        pytest.param(["B", "b", "c", "d", "d"], "a", 1, id="all are too many: the oldest idle"),
    ],
)
def test_who_has_to_go(
    monkeypatch: pytest.MonkeyPatch, present: list[str], host: str, goes: int | None
) -> None:
    """Limits of 3 for a client and 5 in all; capital letters are busy."""
    monkeypatch.setattr(tcp, "CONNECTIONS_PER_CLIENT", 3)
    monkeypatch.setattr(tcp, "CONNECTIONS_MAX", 5)
    clients = TcpClients(Desk().counters, lambda: 0.0)
    waiting: list[Any] = [Waiting(each.lower(), each.islower()) for each in present]

    async def main() -> None:
        for each in waiting:
            clients.admit(each)
        leaving = clients.one_too_many(host)
        assert leaving is (None if goes is None else waiting[goes])

    run(main())


def test_a_slow_reader_costs_nobody_else() -> None:
    """What waits for it is bounded, others are answered, and it gets all when it reads."""
    count = 400

    async def main() -> None:
        async with door(with_long_names(200)) as here:
            slow, other = await here.connect(receive_buffer=4096), await here.connect()
            asked = asyncio.create_task(flood(slow, count))
            await until(lambda: unsent(here) >= tcp.UNSENT_MAX)
            other[1].write(frame(packet("db")))
            assert (await read_reply(other)).rr
            assert unsent(here) < tcp.UNSENT_MAX + 8192
            assert here.desk.counters.local < count
            idents = [await read_ident(slow) for _ in range(count)]
            assert idents == list(range(count))
            await asked

    run(main())


def test_a_reader_that_stops_is_closed() -> None:
    """Answers that nobody takes are no progress."""

    async def main() -> None:
        async with door(with_long_names(200)) as here:
            slow = await here.connect(receive_buffer=4096)
            asked = asyncio.create_task(flood(slow, 400))
            await until(lambda: unsent(here) >= tcp.UNSENT_MAX)
            here.desk.now += tcp.IDLE_SECONDS + 1
            await until(lambda: not len(here.clients))
            await asyncio.gather(asked, return_exceptions=True)

    run(main())


def unsent(here: Door) -> int:
    return max(each.unsent for each in here.clients.connections)


async def read_ident(streams: Streams) -> int:
    """The id of the next reply; the rest is not looked at."""
    length = int.from_bytes(await streams[0].readexactly(2), "big")
    return int.from_bytes((await streams[0].readexactly(length))[:2], "big")


async def flood(streams: Streams, count: int) -> None:
    for i in range(count):
        streams[1].write(frame(packet("big", id=i)))
        await streams[1].drain()


def test_too_many_questions_under_way_stop_the_reading() -> None:
    """And all are answered in the end."""
    count = tcp.PIPELINE_MAX + 20

    async def main() -> None:
        async with origin() as server:
            desk = Desk(settings=DnsSettings(upstreams=(server.address,)))
            async with door(desk) as here:
                server.held.clear()
                streams = await here.connect()
                for i in range(count):
                    streams[1].write(frame(packet(f"n{i}.example.com", id=i)))
                await until(lambda: desk.counters.in_flight == tcp.PIPELINE_MAX)
                server.held.set()
                idents = {(await read_reply(streams)).header.id for _ in range(count)}
                assert idents == set(range(count))

    run(main())


def test_out_of_descriptors_room_is_made() -> None:
    """The oldest connection goes, the waiting one is served, and nothing spins."""

    async def main() -> None:
        async with door() as here:
            await here.connect()
            await until(lambda: len(here.clients) == 1)
            full = Full(here.listener.socket)
            here.listener.socket = full  # type: ignore[assignment]
            streams = await here.connect()
            streams[1].write(frame(packet("db")))
            assert (await read_reply(streams)).rr
            assert here.desk.counters.connections_evicted == 1

    run(main())


class Full:
    """A listening socket for which there are no descriptors the first time."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self._refusals = 1

    def accept(self) -> tuple[socket.socket, Any]:
        if self._refusals:
            self._refusals -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return self._real.accept()

    def fileno(self) -> int:
        return self._real.fileno()

    def close(self) -> None:
        self._real.close()
