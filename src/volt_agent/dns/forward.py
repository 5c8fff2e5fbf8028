"""Questions that are not ours go upstream: with limits, failover and a small cache."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address

from .counters import Counters
from .reply import Relayed
from .settings import DnsSettings
from .upstream import (
    Clock,
    Ears,
    Exchange,
    Failure,
    Question,
    Result,
    TcpExchange,
    UdpExchange,
    Upstream,
)

__all__ = ["Forwarder", "Question"]

log = logging.getLogger(__name__)

Deliver = Callable[[Relayed | None], None]

# Questions on their way at a time; each has a socket. dnsmasq has 150, unbound 1,024 per thread.
# What is above gets SERVFAIL rather than REFUSED: resolvers ask again after it at once or go on to
# their next server, while musl ignores REFUSED and waits five seconds.
FLIGHTS_MAX = 512
# Askers that wait for an answer: of one address, so that it cannot starve the others, and of all.
WAITING_PER_CLIENT = 128
WAITING_MAX = 4096
# How often one question is sent, and how long a server that kept silent is asked last (seconds).
ATTEMPTS = 3
SHUN_FOR = 10.0
# Replies that are remembered, and the longest of them (octets).
REMEMBERED_MAX = 4096
REMEMBERED_SIZE = 4096


class Flight:
    """One question on its way: who waits for it, and which servers are still to be asked."""

    def __init__(self, question: Question, servers: Iterable[Upstream], deadline: float) -> None:
        self.question = question
        self.servers = deque(servers)
        self.deadline = deadline
        self.waiting: list[tuple[str, Deliver]] = []
        self.exchange: Exchange | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.last_word: Relayed | None = None  # a failure that a server reported

    def __repr__(self) -> str:
        return f"<Flight [{len(self.waiting)} waiting, {len(self.servers)} servers left]>"

    def rule_out(self, upstream: Upstream) -> None:
        """Do not ask `upstream` again: it answered, though not helpfully."""
        self.servers = deque(each for each in self.servers if each != upstream)

    def rest(self) -> None:
        """Nothing is under way any more."""
        if self.timer is not None:
            self.timer.cancel()
        if self.exchange is not None:
            self.exchange.cancel()
        self.timer = self.exchange = None


class Forwarder:
    """Asks upstream, once for all who ask the same; remembers what it heard while its TTL lasts."""

    def __init__(
        self, settings: DnsSettings, counters: Counters, clock: Clock = time.monotonic
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._upstreams: tuple[Upstream, ...] = settings.upstreams
        self._gateways: frozenset[IPv4Address] = frozenset()
        self._shunned: dict[Upstream, float] = {}
        self._flights: dict[Question, Flight] = {}
        self._waiting: Counter[str] = Counter()
        self._waiting_in_all = 0
        self._remembered: OrderedDict[Question, Relayed] = OrderedDict()
        self._finished = False
        self._ears = Ears()
        self._landed = asyncio.Event()
        self._landed.set()

    def __repr__(self) -> str:
        return f"<Forwarder [{len(self._flights)} in flight, {len(self._remembered)} remembered]>"

    def configure(self, settings: DnsSettings) -> None:
        """Ask other servers, and ask them afresh."""
        self._settings = settings
        self._upstreams = settings.upstreams
        self._shunned.clear()
        self.flush()
        self.avoid(self._gateways)

    def avoid(self, gateways: frozenset[IPv4Address]) -> None:
        """Never ask these, our own addresses: the question would come back for ever."""
        self._gateways = gateways
        mine = {(str(each), self._settings.port) for each in gateways}
        for host, port in sorted(mine.intersection(self._upstreams)):
            log.warning("upstream %s:%s is this name server itself: not asked", host, port)
        self._upstreams = tuple(each for each in self._settings.upstreams if each not in mine)

    def recall(self, question: Question) -> Relayed | None:
        """A reply that is still good."""
        relayed = self._remembered.get(question)
        if relayed is None or relayed.is_alive(self._clock()):
            return relayed
        del self._remembered[question]
        return None

    def flush(self) -> int:
        """Forget all replies; returns how many there were."""
        count = len(self._remembered)
        self._remembered.clear()
        return count

    def ask(self, question: Question, client: str, deliver: Deliver) -> None:
        """Call `deliver` once, with the reply, or with None where there is none in time."""
        flight = self._flights.get(question)
        if not self._has_room(client) or (flight is None and len(self._flights) >= FLIGHTS_MAX):
            self._counters.overloaded += 1
            deliver(None)
            return
        if flight is None:
            self._take_off(question, client, deliver)
        else:
            self._counters.coalesced += 1
            self._join(flight, client, deliver)

    async def finish(self, grace: float) -> None:
        """Wait `grace` seconds for what is under way; give up the rest and whatever comes later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._landed.wait()
        self._finished = True
        for flight in list(self._flights.values()):
            self._land(flight, None)
        self._ears.shut()
        await asyncio.sleep(0)  # cancelled tasks end here

    def _has_room(self, client: str) -> bool:
        if self._finished or self._waiting_in_all >= WAITING_MAX:
            return False
        return self._waiting[client] < WAITING_PER_CLIENT

    def _take_off(self, question: Question, client: str, deliver: Deliver) -> None:
        servers = itinerary(self._upstreams, self._shunned, self._clock())
        deadline = asyncio.get_running_loop().time() + self._settings.give_up_after
        flight = self._flights[question] = Flight(question, servers, deadline)
        self._landed.clear()
        self._counters.in_flight = len(self._flights)
        self._join(flight, client, deliver)
        self._ask_next(flight)

    def _join(self, flight: Flight, client: str, deliver: Deliver) -> None:
        flight.waiting.append((client, deliver))
        self._waiting[client] += 1
        self._waiting_in_all += 1

    def _ask_next(self, flight: Flight) -> None:
        """Ask the next server that can be asked; where there is none, that was it."""
        flight.rest()
        while flight.servers and asyncio.get_running_loop().time() < flight.deadline:
            upstream = flight.servers.popleft()
            done = partial(self._on_result, flight, upstream)
            self._counters.upstream_queries += 1
            try:
                flight.exchange = UdpExchange(
                    upstream, flight.question, self._ears, self._clock, self._counters, done
                )
            except OSError:
                self._blame(flight, upstream, Failure.UNREACHABLE)
                continue
            self._set_timer(flight, upstream)
            return
        self._land(flight, flight.last_word)

    def _ask_over_tcp(self, flight: Flight, upstream: Upstream) -> None:
        flight.rest()
        self._counters.upstream_queries += 1
        done = partial(self._on_result, flight, upstream)
        flight.exchange = TcpExchange(upstream, flight.question, self._clock, done)
        self._set_timer(flight, upstream)

    def _set_timer(self, flight: Flight, upstream: Upstream) -> None:
        loop = asyncio.get_running_loop()
        when = min(loop.time() + self._settings.upstream_timeout, flight.deadline)
        flight.timer = loop.call_at(when, self._on_timeout, flight, upstream)

    def _on_timeout(self, flight: Flight, upstream: Upstream) -> None:
        self._blame(flight, upstream, Failure.TIMED_OUT)
        self._ask_next(flight)

    def _on_result(self, flight: Flight, upstream: Upstream, result: Result) -> None:
        """What a server came up with; its exchange is over."""
        flight.exchange = None
        if isinstance(result, Relayed) and not result.is_failure:
            self._trust(upstream)
            self._remember(flight.question, result)
            self._land(flight, result)
        elif result is Failure.ASK_OVER_TCP:
            self._ask_over_tcp(flight, upstream)
        else:
            self._blame(flight, upstream, result)
            self._ask_next(flight)

    def _blame(self, flight: Flight, upstream: Upstream, result: Result) -> None:
        """A server did not help: only silence is a reason to ask it the same again."""
        if result is Failure.TIMED_OUT:
            self._counters.upstream_timeouts += 1
        else:
            self._counters.upstream_failures += 1
            flight.rule_out(upstream)
        if isinstance(result, Relayed):
            flight.last_word = result
        elif isinstance(result, Failure):
            if upstream not in self._shunned:
                log.warning("upstream %s:%s fails: %s", *upstream, result.value)
            self._shunned[upstream] = self._clock() + SHUN_FOR

    def _trust(self, upstream: Upstream) -> None:
        if self._shunned.pop(upstream, None) is not None:
            log.info("upstream %s:%s answers again", *upstream)

    def _remember(self, question: Question, relayed: Relayed) -> None:
        if not relayed.life or len(relayed.body) > REMEMBERED_SIZE:
            return
        self._remembered[question] = relayed
        self._remembered.move_to_end(question)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _land(self, flight: Flight, relayed: Relayed | None) -> None:
        """Tell everybody who waits, and be done."""
        flight.rest()
        del self._flights[flight.question]
        self._counters.in_flight = len(self._flights)
        if not self._flights:
            self._landed.set()
        for client, deliver in flight.waiting:
            self._leave(client)
            deliver(relayed)

    def _leave(self, client: str) -> None:
        self._waiting_in_all -= 1
        self._waiting[client] -= 1
        if not self._waiting[client]:
            del self._waiting[client]


def itinerary(
    upstreams: Sequence[Upstream], shunned: Mapping[Upstream, float], now: float
) -> list[Upstream]:
    """Whom to ask, in which order: as configured, but those that failed lately last; then again."""
    trusted = [each for each in upstreams if shunned.get(each, now) <= now]
    ordered = trusted + [each for each in upstreams if each not in trusted]
    return (ordered * ATTEMPTS)[: max(ATTEMPTS, len(ordered))]
