"""Forwarding as the asker sees it: through the responder, from real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from dnslib import RD, RR, DNSRecord

from volt_agent.dns import wire
from volt_agent.dns.extended import Info, code_in
from volt_agent.dns.health import Upstream
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.wire import Rcode

from .origin import answer, failure, origin, silent
from .world import Desk, attached, finish_later, packet, run, until, with_opt

CLIENT = "10.30.0.5"


class Relay(Desk):
    """A desk with an upstream server."""

    def __init__(self, server: Upstream, patience: float = 1.0) -> None:
        settings = DnsSettings(
            upstreams=(server,), search_domains=("corp.example",), give_up_after=patience
        )
        super().__init__(settings=settings)
        finish_later(self.forwarder)

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


# ---- why there is no answer --------------------------------------------------------------------


def reason(reply: DNSRecord) -> int | None:
    """The extended error in the OPT record of a reply."""
    (opt,) = reply.ar
    octets = b"".join(
        each.code.to_bytes(2, "big") + len(each.data).to_bytes(2, "big") + bytes(each.data)
        for each in opt.rdata
    )
    return code_in(octets)


ASKED = with_opt(packet("www.example.com"))


def test_silence_has_a_reason() -> None:
    """RFC 8914: no reachable authority; a moment later, a cached error. Not without EDNS."""

    async def main() -> None:
        async with origin(udp=silent) as server:
            desk = Relay(server.address, patience=0.05)
            first, second = await desk.fetch(ASKED), await desk.fetch(ASKED)
            assert [first.header.rcode, second.header.rcode] == [Rcode.SERVFAIL] * 2
            assert reason(first) == Info.NO_REACHABLE_AUTHORITY
            assert reason(second) == Info.CACHED_ERROR
            assert (await desk.fetch(packet("www.example.com"))).ar == []

    run(main())


def test_stale_answers_say_so() -> None:
    """RFC 8767: for half a minute, as they were; and they are not kept as finished replies."""

    async def main() -> None:
        async with origin(udp=lambda query: [answer(query)] if server.honest else []) as server:
            desk = Relay(server.address, patience=0.05)
            await desk.fetch(packet("www.example.com"))
            server.honest = False
            desk.now += 61
            for _ in range(2):
                stale = await desk.fetch(ASKED)
                assert (str(stale.rr[0].rdata), stale.rr[0].ttl) == ("192.0.2.1", 30)
                assert reason(stale) == Info.STALE_ANSWER

    run(main())


def bogus(query: bytes) -> Iterable[bytes]:
    """SERVFAIL, with "DNSSEC Bogus" in the OPT record."""
    failed = failure(query)
    return [failed[:10] + b"\0\1" + failed[12:] + b"\0\0\x29\x04\xd0\0\0\0\0\0\6\0\x0f\0\2\0\6"]


def test_the_reason_of_an_upstream_server_is_passed_on() -> None:
    """It knows best why it failed."""

    async def main() -> None:
        async with origin(udp=bogus) as server:
            reply = await Relay(server.address).fetch(ASKED)
            assert (reply.header.rcode, reason(reply)) == (Rcode.SERVFAIL, 6)

    run(main())


def test_who_has_no_way_out_is_told_so() -> None:
    """Names are a way out, too."""

    async def main() -> None:
        async with origin() as server:
            desk = Relay(server.address)
            desk.at = "internal"
            reply = await desk.fetch(ASKED, source="10.50.0.9")
            assert (reply.header.rcode, reason(reply)) == (Rcode.REFUSED, Info.PROHIBITED)
            assert server.over_udp == []

    run(main())


# ---- what passes through -----------------------------------------------------------------------


def test_flags_pass_and_options_do_not() -> None:
    """DO and CD go upstream, AD comes back; the asker's subnet (ECS) stays here."""

    def validated(query: bytes) -> Iterable[bytes]:
        whole = bytearray(answer(query))
        whole[3] |= wire.AD
        return [bytes(whole)]

    async def main() -> None:
        async with origin(udp=validated) as server:
            subnet = b"\0\x08\0\7\0\1\x18\0\x0a\x1e\0"
            query = with_opt(packet("www.example.com", cd=1), do=True, options=subnet)
            reply = await Relay(server.address).fetch(query)
            asked = DNSRecord.parse(server.over_udp[0])
            assert (asked.header.cd, asked.ar[0].edns_do, asked.ar[0].rdata) == (1, 1, [])
            assert (reply.header.ad, reply.header.cd, reply.ar[0].edns_do) == (1, 1, 1)

    run(main())


@pytest.mark.parametrize("rtype", [64, 65, 257, 65280])  # SVCB, HTTPS, CAA, a private one
def test_types_pass_octet_by_octet(rtype: int) -> None:
    """Nobody here has to know them."""
    data = bytes(range(64, 100))

    def reply(query: bytes) -> Iterable[bytes]:
        whole = DNSRecord.parse(query).reply(ra=1, aa=0)
        whole.add_answer(RR(whole.q.qname, rtype, ttl=60, rdata=RD(data)))
        return [bytes(whole.pack())]

    async def main() -> None:
        async with origin(udp=reply) as server:
            query = packet("www.example.com")
            query = query[:-4] + rtype.to_bytes(2, "big") + query[-2:]
            desk, replies = Relay(server.address), list[bytes]()
            desk.responder.respond(desk.view(CLIENT), query, CLIENT, replies.append, False)
            await until(lambda: replies)
            assert replies[0].endswith(len(data).to_bytes(2, "big") + data)

    run(main())
