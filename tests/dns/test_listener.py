"""UDP on loopback: the way of a datagram."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dnslib import DNSRecord

from volt_agent.dns.listener import DRAIN, UdpListener
from volt_agent.dns.settings import DnsSettings

from .origin import origin
from .world import BACKEND, Desk, packet, port, run, until


class Wire:
    """A listener on loopback and a client. Loopback is no address of a network: it is the host."""

    def __init__(self, desk: Desk, server: socket.socket, client: socket.socket) -> None:
        self.desk = desk
        self.listener = UdpListener(
            server, BACKEND, desk.responder, desk.counters, lambda: desk.now
        )
        self.client = client
        client.connect(server.getsockname())

    async def ask(self, query: bytes) -> DNSRecord:
        self.client.send(query)
        reply = await asyncio.get_running_loop().sock_recv(self.client, 4096)
        return DNSRecord.parse(reply)


@asynccontextmanager
async def wired(desk: Desk) -> AsyncIterator[Wire]:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_INET, kind) as server, socket.socket(socket.AF_INET, kind) as near:
        server.bind(("127.0.0.1", 0))
        wire = Wire(desk, server, near)
        try:
            yield wire
        finally:
            wire.listener.close()


def test_the_second_query_is_answered_from_the_finished_tail() -> None:
    """The same answer under another id, without the responder; a change is seen at once."""

    async def main() -> None:
        async with wired(Desk()) as wire:
            counters = wire.desk.counters
            for ident in (1, 2, 3):
                reply = await wire.ask(packet("db", id=ident))
                assert (reply.header.id, str(reply.rr[0].rdata)) == (ident, "10.30.0.5")
            assert (counters.local, counters.cached) == (1, 2)
            wire.desk.commit(port("backend", "db", "10.30.0.5", up=False))
            assert (await wire.ask(packet("db"))).rr == []

    run(main())


def test_a_flood_leaves_room_for_others() -> None:
    """One wake-up takes so many datagrams and no more."""

    async def main() -> None:
        async with wired(Desk()) as wire:
            for i in range(DRAIN + 5):
                wire.client.send(packet("db", id=i))
            counters = wire.desk.counters
            assert wire.listener.drain()
            assert counters.queries == DRAIN
            assert not wire.listener.drain()
            assert counters.queries == DRAIN + 5

    run(main())


def test_garbage_is_dropped_and_the_rest_answered() -> None:
    """An empty datagram, a huge one, a reply; then a query."""

    async def main() -> None:
        async with wired(Desk()) as wire:
            for octets in (b"", b"\x80" * 30, packet("db")[:2] + b"\x80" + b"\0" * 9):
                wire.client.send(octets)
            wire.client.send(b"\1\2" + b"\0" * 9000)
            assert (await wire.ask(packet("nobody"))).header.rcode == 1  # to the huge one
            reply = await asyncio.get_running_loop().sock_recv(wire.client, 4096)
            assert DNSRecord.parse(reply).header.rcode == 3
            assert wire.desk.counters.dropped == 3

    run(main())


def test_forwarded_answers_age_in_the_finished_tails() -> None:
    """They count down, die, and are asked for again."""

    async def main() -> None:
        async with origin() as server:
            settings = DnsSettings(upstreams=(server.address,))
            async with wired(Desk(settings=settings)) as wire:
                ttls = []
                for later in (0, 0, 20, 39, 1):
                    wire.desk.now += later
                    ttls.append((await wire.ask(packet("www.example.com"))).rr[0].ttl)
                assert ttls == [60, 60, 40, 1, 60]
                assert (wire.desk.counters.cached, len(server.over_udp)) == (3, 2)

    run(main())


def test_an_asker_that_is_gone_costs_nothing() -> None:
    """A reply that cannot be delivered is counted at most; the next asker gets his."""

    async def main() -> None:
        async with wired(Desk()) as wire:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.sendto(packet("db"), wire.client.getpeername())
            assert (await wire.ask(packet("db"))).rr

    run(main())


def test_after_close_late_answers_are_let_go() -> None:
    """The socket is closed, the question still on its way."""

    async def main() -> None:
        async with origin() as server:
            settings = DnsSettings(upstreams=(server.address,))
            desk = Desk(settings=settings)
            async with wired(desk) as wire:
                server.held.clear()
                wire.client.send(packet("www.example.com"))
                await until(lambda: server.over_udp)
            server.held.set()
            await until(lambda: not desk.counters.in_flight)
            assert desk.counters.unsent == 1

    run(main())
