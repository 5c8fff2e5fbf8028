"""Forwarding as the asker sees it: through the responder, from real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from dnslib import DNSRecord

from volt_agent.dns.health import Upstream
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.wire import Rcode

from .origin import answer, origin, silent
from .world import Desk, attached, packet, run, until, with_opt

CLIENT = "10.30.0.5"


class Relay(Desk):
    """A desk with an upstream server."""

    def __init__(self, server: Upstream, patience: float = 1.0) -> None:
        settings = DnsSettings(
            upstreams=(server,), search_domains=("corp.example",), give_up_after=patience
        )
        super().__init__(settings=settings)

    async def fetch(self, query: bytes, source: str = CLIENT, stream: bool = False) -> DNSRecord:
        replies: list[bytes] = []
        assert self.responder.respond(self.view(source), query, source, replies.append, stream)
        await until(lambda: replies)
        return DNSRecord.parse(replies[0])


def test_a_forwarded_answer_reaches_the_asker() -> None:
    """Under his id, in his case, and from the memory the second time, aged."""

    async def main() -> None:
        async with origin() as server:
            desk = Relay(server.address)
            reply = await desk.fetch(packet("WWW.example.com"))
            assert (reply.header.id, reply.header.aa, reply.header.ra) == (0x1234, 0, 1)
            assert (str(reply.q.qname), str(reply.rr[0].rdata)) == ("WWW.example.com.", "192.0.2.1")
            desk.now += 10
            other = await desk.fetch(with_opt(packet("www.example.COM")))
            assert (other.rr[0].ttl, len(other.ar)) == (50, 1)
            assert (len(server.over_udp), desk.counters.relayed, desk.counters.forwarded) == (
                1,
                1,
                1,
            )

    run(main())


def test_a_long_answer_is_cut_for_those_with_little_room() -> None:
    """TC over UDP, whole over TCP, from the same memory."""

    def long(query: bytes) -> Iterable[bytes]:
        whole = DNSRecord.parse(answer(query))
        whole.rr *= 40
        return [bytes(whole.pack())]

    async def main() -> None:
        async with origin(udp=long) as server:
            desk = Relay(server.address)
            short = await desk.fetch(packet("www.example.com"))
            assert (short.header.tc, short.rr) == (1, [])
            assert len((await desk.fetch(packet("www.example.com"), stream=True)).rr) == 40
            assert len((await desk.fetch(with_opt(packet("www.example.com")))).rr) == 40
            assert len(server.over_udp) == 1

    run(main())


def test_nobody_answers() -> None:
    """SERVFAIL, and nothing is remembered."""

    async def main() -> None:
        async with origin(udp=silent) as server:
            desk = Relay(server.address, patience=0.05)
            assert (await desk.fetch(packet("www.example.com"))).header.rcode == Rcode.SERVFAIL
            assert not desk.view(CLIENT).tails

    run(main())


def test_a_workload_that_starts_meanwhile_wins() -> None:
    """The name became ours while the question was on its way: no stale answer, nor later."""

    async def main() -> None:
        async with origin() as server:
            desk = Relay(server.address)
            server.held.clear()
            asked = asyncio.create_task(desk.fetch(packet("late.corp.example")))
            await until(lambda: server.over_udp)
            desk.commit(*attached("backend", "late", "10.30.0.8"))
            server.held.set()
            assert [str(each.rdata) for each in (await asked).rr] == ["10.30.0.8"]
            again = await desk.fetch(packet("late.corp.example"))
            assert [str(each.rdata) for each in again.rr] == ["10.30.0.8"]

    run(main())


def test_names_of_ours_never_leave() -> None:
    """Single labels, the zone and our subnets: not one packet."""

    async def main() -> None:
        async with origin() as server:
            desk = Relay(server.address)
            for name in ("nobody", "com", "nobody.volt.local", "8.0.30.10.in-addr.arpa"):
                assert (await desk.fetch(packet(name, "PTR"))).header.rcode == Rcode.NXDOMAIN
            assert server.over_udp == []

    run(main())
