"""Forwarding to real servers: honest, dead, slow and lying ones."""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest
from dnslib import DNSRecord

from volt_agent.dns import admission, wire
from volt_agent.dns.counters import Counters
from volt_agent.dns.forward import Forwarder, Outcome, Question
from volt_agent.dns.health import RACE_EVERY, Upstream
from volt_agent.dns.outcome import CACHED, NO_ANSWER, NO_UPSTREAM, OVERLOADED, REBINDING
from volt_agent.dns.reply import Relayed
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.upstream import STRAYS_MAX
from volt_agent.dns.view import Subnets
from volt_agent.dns.wire import Rcode

from .origin import (
    Behaviour,
    answer,
    dead_port,
    failure,
    origin,
    silent,
    truncated,
)
from .world import BACKEND, finish_later, run, until

CLIENT = "10.30.0.5"
# A guard for what is promised in 1.5 s: then a resolver asks anew (resolv.conf(5), "timeout").
RESOLVERS_GIVE_UP = 5.0


def question(name: str = "www.example.com") -> Question:
    return Question(wire.name_from_text(name), 1, False, False)


class Asker:
    """A forwarder and what it delivered; `later` is how far its clock is ahead of the real one."""

    def __init__(self, *upstreams: Upstream, patience: float = 1.4) -> None:
        self.counters = Counters()
        self.later = 0.0
        settings = DnsSettings(upstreams=upstreams, give_up_after=patience)
        self.forwarder = Forwarder(settings, self.counters, lambda: time.monotonic() + self.later)
        self.outcomes: list[Outcome] = []
        finish_later(self.forwarder)

    @property
    def delivered(self) -> list[Relayed | None]:
        """The replies of servers; None where there was none."""
        return [each.relayed for each in self.outcomes]

    def send(self, name: str = "www.example.com", client: str = CLIENT) -> None:
        self.forwarder.ask(question(name), client, self.outcomes.append)

    async def ask(self, name: str = "www.example.com") -> Relayed | None:
        return (await self.outcome(name)).relayed

    async def outcome(self, name: str = "www.example.com") -> Outcome:
        """What is told: from the memory, or else from a server."""
        known = self.forwarder.recall(question(name))
        if known is not None:
            return known
        before = len(self.outcomes)
        self.send(name)
        await until(lambda: len(self.outcomes) > before)
        return self.outcomes[-1]


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
                asker.forwarder.flush()
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
            asker = Asker(dead_port(), good.address, patience=9.0)
            assert await asker.ask() is not None
            assert asker.counters.upstream_failures == 1

    run(main(), limit=4.0)


def test_a_silent_server_is_asked_last() -> None:
    """So that only the first question pays for it; now and then one is put to it as well."""

    async def main() -> None:
        async with origin(udp=silent) as bad, origin() as good:
            asker = Asker(bad.address, good.address)
            await asker.ask("one.example.com")
            asker.forwarder.flush()
            for number in range(5):
                await asker.ask(f"two{number}.example.com")
            before = len(bad.over_udp)
            asker.later += RACE_EVERY
            await asker.ask("three.example.com")
            await until(lambda: len(bad.over_udp) == before + 1)
            assert (before, len(good.over_udp)) == (1, 7)

    run(main())


def test_the_faster_server_is_asked_first() -> None:
    """Both get the first question; after that, it is the one that answered at once."""

    async def main() -> None:
        async with origin() as slow, origin() as fast:
            slow.delay = 0.1
            asker = Asker(slow.address, fast.address)
            for number in range(5):
                await asker.ask(f"n{number}.example.com")
            assert (len(slow.over_udp), len(fast.over_udp)) == (1, 5)
            await until(lambda: asker.forwarder.healths[0].answered == 1)
            measured = [each.round_trip or 0.0 for each in asker.forwarder.healths]
            assert measured[0] >= 0.1 > measured[1]

    run(main())


def test_silence_everywhere_ends_in_time() -> None:
    """The default patience; the server is asked once more, and not again for a while."""

    async def main() -> None:
        async with origin(udp=silent) as server:
            asker = Asker(server.address)
            before = time.monotonic()
            assert (await asker.outcome()) == NO_ANSWER
            assert time.monotonic() - before < RESOLVERS_GIVE_UP
            assert len(server.over_udp) == 2
            assert (await asker.outcome()) == CACHED
            assert len(server.over_udp) == 2

    run(main())


def test_a_failure_is_not_asked_for_again_at_once() -> None:
    """RFC 9520: after a second, then after two, and so on."""

    async def main() -> None:
        async with origin(udp=refusing) as server:
            asker = Asker(server.address)
            for later, queries in ((0.0, 1), (0.5, 1), (1.1, 2), (2.0, 2), (3.5, 3)):
                asker.later = later
                assert (await asker.outcome()).is_failure
                assert len(server.over_udp) == queries

    run(main())


def test_what_comes_too_late_is_remembered() -> None:
    """Who waited is told that there is no answer; who asks again gets it."""

    async def main() -> None:
        async with origin() as server:
            server.delay = 0.3
            asker = Asker(server.address, patience=0.1)
            assert (await asker.outcome()) == NO_ANSWER
            await until(lambda: asker.forwarder.recall(question()) not in (None, CACHED))
            assert await asker.ask() is not None
            assert len(server.over_udp) == 1

    run(main())


def test_stale_is_better_than_nothing() -> None:
    """RFC 8767: after its time, when the servers are silent or fail; and then without waiting."""

    async def main() -> None:
        async with origin(udp=lambda query: [answer(query)] if server.honest else []) as server:
            asker = Asker(server.address, patience=0.1)
            assert await asker.ask() is not None
            server.honest = False
            asker.later = 61.0
            outcome = await asker.outcome()
            assert (outcome.is_stale, outcome.is_failure) == (True, False)
            before = len(server.over_udp)
            assert (await asker.outcome()).is_stale
            assert (len(server.over_udp), asker.counters.stale) == (before, 2)

    run(main())


def test_a_server_that_is_back_is_believed_at_once() -> None:
    """What failed while it was silent is asked again."""

    async def main() -> None:
        async with origin(udp=lambda query: [answer(query)] if server.honest else []) as server:
            server.honest = False
            asker = Asker(server.address)
            for number in range(3):
                asker.send(f"n{number}.example.com")
            await until(lambda: asker.forwarder.healths[0].is_silent)
            server.honest = True
            assert await asker.ask("new.example.com") is not None
            assert await asker.ask("n0.example.com") is not None

    run(main())


def test_patience_ends_before_the_attempts_do() -> None:
    """However many servers there are, and also over TCP."""

    async def main() -> None:
        async with origin(udp=cut_short, tcp=silent) as one, origin(udp=silent) as two:
            asker = Asker(one.address, two.address, patience=0.15)
            before = time.monotonic()
            assert await asker.ask() is None
            assert time.monotonic() - before < RESOLVERS_GIVE_UP

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
        asker = Asker(*upstreams, patience=0.3)
        assert await asker.ask() is None
        assert asker.counters.in_flight == 0

    run(main())


SUBNETS = Subnets((BACKEND,))


def test_our_own_gateway_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    """A loop, and one line says so; the other server is asked."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(("10.30.0.1", 53), server.address)
            asker.forwarder.surround(SUBNETS)
            assert await asker.ask() is not None
            assert asker.counters.upstream_queries == 1
            assert asker.forwarder.loops == (
                "upstream 10.30.0.1:53 is volt itself, or asks volt: it is not asked",
            )

    run(main())
    assert [each.getMessage() for each in caplog.records] == [
        "upstream 10.30.0.1:53 is volt itself, or asks volt: it is not asked;"
        " set network.dns.upstream"
    ]


def test_a_loop_over_another_resolver_is_found() -> None:
    """A server that asks us back is silent; the question that nobody else asks gives it away."""

    async def main() -> None:
        async with origin(udp=silent) as resolver:
            asker = Asker(resolver.address)
            resolver.pass_on = lambda query: asker.forwarder.ask(
                Question.of(wire.read_query(query)), "10.30.0.1", lambda _: None
            )
            for number in range(3):
                asker.send(f"n{number}.example.com")
            await until(lambda: asker.forwarder.loops)
            assert (await asker.outcome()) == NO_UPSTREAM
            settings = DnsSettings(upstreams=(resolver.address,))
            asker.forwarder.configure(settings)
            assert asker.forwarder.loops == ()

    run(main())


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.30.0.5"])
def test_answers_that_point_inside_are_refused(address: str) -> None:
    """DNS rebinding; neither told nor remembered, whatever was remembered before."""

    async def main() -> None:
        async with origin(udp=lambda query: [answer(query, address)]) as server:
            asker = Asker(server.address)
            asker.forwarder.surround(SUBNETS)
            assert (await asker.outcome()) == REBINDING
            assert (await asker.outcome()) == REBINDING
            assert (len(server.over_udp), asker.counters.rebinding) == (1, 1)

    run(main())


def test_other_servers_are_asked_after_a_reload() -> None:
    """Also for what is on its way; nobody loses his answer."""

    async def main() -> None:
        async with origin(udp=silent) as old, origin() as new:
            asker = Asker(old.address, patience=5.0)
            for number in range(20):
                asker.send(f"n{number}.example.com")
            await until(lambda: len(old.over_udp) == 20)
            asker.forwarder.configure(DnsSettings(upstreams=(new.address,)))
            await until(lambda: len(asker.delivered) == 20)
            assert None not in asker.delivered
            assert len(new.over_udp) == 20

    run(main(), limit=4.0)


def test_settings_that_stay_cost_no_memory() -> None:
    """A reload for other reasons forgets nothing."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            await asker.ask()
            asker.forwarder.configure(DnsSettings(upstreams=(server.address,)))
            assert asker.forwarder.recall(question()) is not None

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
    """Its questions over the limit fail at once; when it is full, who has most gives way."""
    monkeypatch.setattr(admission, "FLIGHTS_PER_CLIENT", 8)
    monkeypatch.setattr(admission, "FLIGHTS_MAX", 12)

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            server.held.clear()
            for i in range(20):
                asker.send(f"a{i}.example.com", "10.30.0.5")
            assert (asker.counters.in_flight, asker.delivered) == (8, [None] * 12)
            for i in range(20):
                asker.send(f"b{i}.example.com", "10.30.0.6")
            assert (asker.counters.in_flight, asker.counters.overloaded) == (12, 28)
            asker.send("c.example.com", "10.30.0.7")
            assert (asker.counters.in_flight, asker.counters.overloaded) == (12, 29)
            server.held.set()
            await until(lambda: len(asker.delivered) == 41)
            assert (asker.delivered.count(None), asker.counters.in_flight) == (29, 0)
            assert {each.relayed for each in asker.outcomes if each == OVERLOADED} == {None}

    run(main())


def test_answers_are_remembered_while_they_live() -> None:
    """And not told after their TTL, nor after they were forgotten by hand."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            relayed = await asker.ask()
            assert asker.forwarder.recall(question()) == Outcome(relayed)
            asker.later += 60
            assert asker.forwarder.recall(question()) is None
            assert await asker.ask() is not None
            assert asker.forwarder.flush() == 1
            assert asker.forwarder.recall(question()) is None

    run(main())


def test_finish_waits_and_then_gives_up() -> None:
    """Whoever waits gets his answer, or is told that there is none."""

    async def main() -> None:
        async with origin() as good, origin(udp=silent) as bad:
            asker = Asker(good.address)
            asker.send()
            await asker.forwarder.finish(5.0)
            assert [each is None for each in asker.delivered] == [False]
            asker = Asker(bad.address, patience=9.0)
            asker.send()
            await asker.forwarder.finish(0.05)
            assert asker.delivered == [None]
            asker.send()
            assert (asker.delivered, asker.counters.in_flight) == ([None, None], 0)

    run(main())


def test_each_question_has_a_port_of_its_own() -> None:
    """Also when sockets are used again: over 300 questions, hardly any port comes twice."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            for number in range(300):
                await asker.ask(f"host{number}.example.com")
            assert len(set(server.sources)) > 280

    run(main())


def test_a_resting_socket_hears_nothing() -> None:
    """What is sent to the port of a question that was answered is refused, as by a closed port."""

    async def main() -> None:
        async with origin() as server:
            asker = Asker(server.address)
            await asker.ask()
            assert server.socket is not None
            with server.socket.dup() as late:
                late.connect(("127.0.0.1", server.sources[-1]))
                late.send(b"too late")
                with pytest.raises(ConnectionRefusedError):
                    late.recv(100)

    run(main())


# ---- servers without EDNS ----------------------------------------------------------------------


def without_edns(bare: bool, rcode: int) -> Behaviour:
    """A server that takes an OPT record for a mistake (RFC 6891, section 7)."""

    def behave(query: bytes) -> Iterable[bytes]:
        if not DNSRecord.parse(query).ar:
            return [answer(query)]
        if bare:
            return [wire.error_reply(query, rcode)]
        plain = DNSRecord.parse(query)
        plain.ar = []
        return [failure(bytes(plain.pack()), rcode)]

    return behave


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("rcode", [1, 4])
def test_a_server_without_edns_is_asked_again_without_it(bare: bool, rcode: int) -> None:
    """FORMERR or NOTIMP, with the question or the header alone: the same server, once more."""

    async def main() -> None:
        async with origin(udp=without_edns(bare, rcode)) as server:
            asker = Asker(server.address)
            assert (relayed := await asker.ask()) is not None
            assert (relayed.rcode, len(server.over_udp)) == (Rcode.NOERROR, 2)
            assert server.over_udp[0][:2] != server.over_udp[1][:2]

    run(main())


def test_a_long_answer_of_a_server_without_edns_comes_over_tcp() -> None:
    """There, too, without EDNS."""

    def cut(query: bytes) -> Iterable[bytes]:
        if DNSRecord.parse(query).ar:
            return [wire.error_reply(query, Rcode.FORMERR)]
        return [truncated(query)]

    async def main() -> None:
        async with origin(udp=cut) as server:
            asker = Asker(server.address)
            assert await asker.ask() is not None
            (over_tcp,) = server.over_tcp
            assert not DNSRecord.parse(over_tcp).ar

    run(main())


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    """FORMERR without EDNS as well: two queries, and a failure."""

    def refuse(query: bytes) -> Iterable[bytes]:
        plain = DNSRecord.parse(query)
        plain.ar = []
        return [failure(bytes(plain.pack()), Rcode.FORMERR)]

    async def main() -> None:
        async with origin(udp=refuse) as server:
            outcome = await Asker(server.address).outcome()
            assert outcome.is_failure
            assert len(server.over_udp) == 2

    run(main())
