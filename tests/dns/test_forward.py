"""Forwarding to real servers: honest, dead, slow and lying ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest
from dnslib import DNSRecord

from volt_agent.dns import forward, wire
from volt_agent.dns.counters import Counters
from volt_agent.dns.forward import Forwarder, Question, itinerary
from volt_agent.dns.reply import Relayed
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.upstream import STRAYS_MAX, Upstream
from volt_agent.dns.wire import Rcode

from .origin import Behaviour, answer, dead_port, failure, origin, silent, truncated
from .world import Desk, attached, packet, run, until, with_opt

CLIENT = "10.30.0.5"


def question(name: str = "www.example.com") -> Question:
    return Question(wire.name_from_text(name), 1, False, False)


class Asker:
    """A forwarder and what it delivered."""

    def __init__(self, *upstreams: Upstream, timeout: float = 0.2, patience: float = 2.0) -> None:
        self.counters = Counters()
        self.now = 1000.0
        settings = DnsSettings(
            upstreams=upstreams, upstream_timeout=timeout, give_up_after=patience
        )
        self.forwarder = Forwarder(settings, self.counters, lambda: self.now)
        self.delivered: list[Relayed | None] = []

    def send(self, name: str = "www.example.com", client: str = CLIENT) -> None:
        self.forwarder.ask(question(name), client, self.delivered.append)

    async def ask(self, name: str = "www.example.com") -> Relayed | None:
        before = len(self.delivered)
        self.send(name)
        await until(lambda: len(self.delivered) > before)
        return self.delivered[-1]


def test_an_answer_is_delivered() -> None:
    """One query, recursion desired, EDNS without options, and what the server said."""

    async def main() -> None:
        async with origin() as server:
            relayed = await Asker(server.address).ask()
            assert relayed is not None
            assert (relayed.rcode, relayed.life) == (0, 60)
            (query,) = server.over_udp
            parsed = DNSRecord.parse(query)
            assert (parsed.header.rd, parsed.header.ad, parsed.ar[0].edns_len) == (1, 1, 1232)
            assert parsed.ar[0].rdata == []

    run(main())


def test_each_question_is_hard_to_guess() -> None:
    """A port, an id and a mix of cases of its own."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            for _ in range(20):
                await asker.ask("some-long-name.example.com")
            assert len(set(server.sources)) > 15
            assert len({each[:2] for each in server.over_udp}) > 15
            assert len(set(server.names)) > 15
            assert {each.lower() for each in server.names} == {"some-long-name.example.com."}

    run(main())


def wrong_id(query: bytes) -> Iterable[bytes]:
    return [bytes([query[0] ^ 1]) + answer(query)[1:], answer(query)]


def wrong_question(query: bytes) -> Iterable[bytes]:
    lie = bytearray(answer(query, "192.0.2.66"))
    lie[13] = ord("x")
    return [bytes(lie), answer(query)]


def a_query(query: bytes) -> Iterable[bytes]:
    return [query, answer(query)]


def garbage(query: bytes) -> Iterable[bytes]:
    return [b"", b"\0" * 5, b"\xff" * 900, answer(query)]


@pytest.mark.parametrize(
    ("lies", "strays"), [(wrong_id, 1), (wrong_question, 1), (a_query, 1), (garbage, 3)]
)
def test_lies_are_ignored_and_the_truth_still_heard(lies: Behaviour, strays: int) -> None:
    """A wrong reply does not end the question."""

    async def main() -> None:
        async with origin(udp=lies) as server:
            asker = Asker(server.address)
            relayed = await asker.ask()
            assert relayed is not None
            assert relayed.body.endswith(IPv4Address("192.0.2.1").packed)
            assert asker.counters.upstream_strays == strays

    run(main())


def guesser(query: bytes) -> Iterable[bytes]:
    forged = answer(query, "192.0.2.66")
    return [bytes([query[0] ^ n, query[1]]) + forged[2:] for n in range(1, STRAYS_MAX + 1)]


def lower_case(query: bytes) -> Iterable[bytes]:
    return [answer(query[:12] + query[12:].lower())]


def cut_short(query: bytes) -> Iterable[bytes]:
    return [truncated(query)]


def cut_anywhere(query: bytes) -> Iterable[bytes]:
    whole = bytearray(answer(query))
    whole[2] |= 2
    return [bytes(whole[:-3])]


@pytest.mark.parametrize("udp", [guesser, lower_case, cut_short, cut_anywhere])
def test_over_tcp_where_udp_does_not_do(
    udp: Behaviour,
) -> None:
    """Truncated, without the case of the letters, or under a hail of guesses."""

    async def main() -> None:
        async with origin(udp=udp) as server:
            relayed = await Asker(server.address).ask()
            assert relayed is not None
            assert relayed.body.endswith(IPv4Address("192.0.2.1").packed)
            assert (len(server.over_udp), len(server.over_tcp)) == (1, 1)

    run(main())


def refusing(query: bytes) -> Iterable[bytes]:
    return [failure(query, Rcode.REFUSED)]


@pytest.mark.parametrize("first", [silent, refusing])
def test_the_next_server_is_asked(
    first: Behaviour,
) -> None:
    """After silence, and after a failure that the server reports."""

    async def main() -> None:
        async with origin(udp=first) as bad, origin() as good:
            relayed = await Asker(bad.address, good.address).ask()
            assert relayed is not None
            assert (len(bad.over_udp), len(good.over_udp)) == (1, 1)

    run(main())


def test_a_closed_port_is_no_delay() -> None:
    """The kernel's "connection refused" counts as an answer."""

    async def main() -> None:
        async with origin() as good:
            asker = Asker(dead_port(), good.address, timeout=5.0, patience=9.0)
            assert await asker.ask() is not None
            assert asker.counters.upstream_failures == 1

    run(main(), limit=4.0)


def test_a_silent_server_is_asked_last_for_a_while() -> None:
    """So that only the first question pays for it."""

    async def main() -> None:
        async with origin(udp=silent) as bad, origin() as good:
            asker = Asker(bad.address, good.address)
            await asker.ask("one.example.com")
            await asker.ask("two.example.com")
            assert len(bad.over_udp) == 1
            asker.now += forward.SHUN_FOR + 1
            await asker.ask("three.example.com")
            assert len(bad.over_udp) == 2

    run(main())


A, B = ("192.0.2.1", 53), ("192.0.2.2", 53)


@pytest.mark.parametrize(
    ("upstreams", "shunned", "order"),
    [
        ([A], {}, [A, A, A]),
        ([A, B], {}, [A, B, A]),
        ([A, B], {A: 9.0}, [B, A, B]),
        ([A, B], {A: 5.0}, [A, B, A]),
        ([A, B], {A: 9.0, B: 9.0}, [A, B, A]),
        ([], {}, []),
    ],
)
def test_itinerary(
    upstreams: list[Upstream], shunned: dict[Upstream, float], order: list[Upstream]
) -> None:
    """As configured, those that failed lately last, three attempts."""
    assert itinerary(upstreams, shunned, 5.0) == order


def test_silence_everywhere_ends_in_time() -> None:
    """Three attempts, then there is no answer."""

    async def main() -> None:
        async with origin(udp=silent) as server:
            asker = Asker(server.address, timeout=0.05, patience=1.0)
            assert await asker.ask() is None
            assert len(server.over_udp) == 3
            assert (asker.counters.in_flight, asker.counters.upstream_timeouts) == (0, 3)

    run(main())


def test_patience_ends_before_the_attempts_do() -> None:
    """However many servers there are, and also over TCP."""

    async def main() -> None:
        async with origin(udp=cut_short, tcp=silent) as one, origin(udp=silent) as two:
            asker = Asker(one.address, two.address, timeout=0.1, patience=0.15)
            before = time.monotonic()
            assert await asker.ask() is None
            assert time.monotonic() - before < 1.5

    run(main())


def test_a_failure_is_passed_on_when_nobody_does_better() -> None:
    """What the last server said, not just SERVFAIL."""

    async def main() -> None:
        async with origin(udp=refusing) as server:
            relayed = await Asker(server.address).ask()
            assert relayed is not None
            assert relayed.rcode == Rcode.REFUSED
            assert len(server.over_udp) == 1

    run(main())


@pytest.mark.parametrize("upstreams", [(), (("255.255.255.255", 53),), (("::1", 0),)])
def test_nowhere_to_ask_ends_at_once(upstreams: tuple[Upstream, ...]) -> None:
    """No servers, or none that the kernel sends to."""

    async def main() -> None:
        asker = Asker(*upstreams, timeout=0.1, patience=0.3)
        assert await asker.ask() is None
        assert asker.counters.in_flight == 0

    run(main())


def test_our_own_gateway_is_not_asked() -> None:
    """A loop; the other server is."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(("10.30.0.1", 53), server.address)
            asker.forwarder.avoid(frozenset({IPv4Address("10.30.0.1")}))
            assert await asker.ask() is not None
            assert asker.counters.upstream_queries == 1

    run(main())


def test_equal_questions_are_asked_once() -> None:
    """200 askers, one query, 200 answers."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            server.held.clear()
            for i in range(200):
                asker.send(client=f"10.30.0.{i}")
            assert (asker.counters.in_flight, asker.counters.coalesced) == (1, 199)
            server.held.set()
            await until(lambda: len(asker.delivered) == 200)
            assert None not in asker.delivered
            assert len(server.over_udp) == 1

    run(main())


def test_one_client_cannot_take_all_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its questions over the limit fail at once; another client's go on."""
    monkeypatch.setattr(forward, "WAITING_PER_CLIENT", 8)
    monkeypatch.setattr(forward, "FLIGHTS_MAX", 12)

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            server.held.clear()
            for i in range(20):
                asker.send(f"a{i}.example.com", "10.30.0.5")
            assert (asker.counters.in_flight, asker.delivered) == (8, [None] * 12)
            for i in range(20):
                asker.send(f"b{i}.example.com", "10.30.0.6")
            assert (asker.counters.in_flight, asker.delivered) == (12, [None] * 28)
            assert asker.counters.overloaded == 28
            server.held.set()
            await until(lambda: len(asker.delivered) == 40)
            assert (asker.delivered.count(None), asker.counters.in_flight) == (28, 0)

    run(main())


def test_answers_are_remembered_while_they_live() -> None:
    """And forgotten after their TTL, or by hand."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            relayed = await asker.ask()
            assert asker.forwarder.recall(question()) is relayed
            asker.now += 60
            assert asker.forwarder.recall(question()) is None
            assert await asker.ask() is not None
            assert asker.forwarder.flush() == 1
            assert asker.forwarder.recall(question()) is None

    run(main())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(forward, "REMEMBERED_MAX", 3)

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            for i in range(5):
                await asker.ask(f"n{i}.example.com")
            known = [asker.forwarder.recall(question(f"n{i}.example.com")) for i in range(5)]
            assert [each is not None for each in known] == [False, False, True, True, True]

    run(main())


def test_finish_waits_and_then_gives_up() -> None:
    """Whoever waits gets his answer, or is told that there is none."""

    async def main() -> None:
        async with origin() as good, origin(udp=silent) as bad:
            asker = Asker(good.address)
            asker.send()
            await asker.forwarder.finish(5.0)
            assert [each is None for each in asker.delivered] == [False]
            asker = Asker(bad.address, timeout=5.0, patience=9.0)
            asker.send()
            await asker.forwarder.finish(0.05)
            assert asker.delivered == [None]
            asker.send()
            assert (asker.delivered, asker.counters.in_flight) == ([None, None], 0)

    run(main())


# ---- through the responder ---------------------------------------------------------------------


class Relay(Desk):
    """A desk with an upstream server."""

    def __init__(self, server: Upstream, timeout: float = 0.2) -> None:
        settings = DnsSettings(
            upstreams=(server,),
            search_domains=("corp.example",),
            upstream_timeout=timeout,
            give_up_after=1.0,
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
            desk = Relay(server.address, timeout=0.05)
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
