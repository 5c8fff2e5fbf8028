"""Questions that are not ours go upstream: with limits, failover, and a memory of what was said.

A question is asked once for all who ask it (`flights`). The best server gets it first (`health`),
the next one as soon as that one is late; the first good answer wins. Who has waited long enough is
told what there is: an answer past its time, or that there is none. What comes later is remembered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress

from .admission import Admission
from .counters import Counters
from .flight import Deliver, Flight, Waiter
from .flights import Flights
from .health import Health, Roster, Upstream, name_of
from .loops import Loops
from .memory import Failures, Memory
from .outcome import LOOP, NO_ANSWER, NO_UPSTREAM, OVERLOADED, REBINDING, STOPPING, Outcome
from .question import Question
from .rebinding import culprit
from .reply import Relayed
from .settings import DnsSettings
from .upstream import Clock, Exchange, Result, UdpExchange
from .view import Subnets
from .wire import text_of

__all__ = ["Forwarder", "Outcome", "Question"]

log = logging.getLogger(__name__)

# How long the question that gives a loop away may take to come back (seconds).
_LOOP_WAIT = 2.0
# A name that points inside is told about in the log, but not more often than this (seconds).
_WARN_EVERY = 10.0


class Forwarder:
    """Asks upstream, once for all who ask the same; remembers what it heard while its TTL lasts."""

    def __init__(
        self, settings: DnsSettings, counters: Counters, clock: Clock = time.monotonic
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._subnets = Subnets()
        self._memory = Memory()
        self._failures = Failures()
        self._admission = Admission()
        self._flights = Flights(self, Roster(settings.upstreams), clock, counters)
        self._loops = Loops()
        self._probes: set[Exchange] = set()
        self._finished = False
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._warned_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Forwarder [{self._flights!r}, {self._memory!r}, {self._flights.roster!r}]>"

    # ---- settings -----------------------------------------------------------------------------

    def configure(self, settings: DnsSettings) -> None:
        """Ask other servers, also for what is on its way. What is known of the others is kept."""
        if settings.upstreams != self._settings.upstreams:
            self.flush()
        self._settings = settings
        self._loops.forget()
        self._choose()

    def surround(self, subnets: Subnets) -> None:
        """Our own subnets: no answer may point there, and their gateways are never asked."""
        self._subnets = subnets
        self.flush()
        self._choose()

    @property
    def healths(self) -> tuple[Health, ...]:
        """What is known of the servers that are asked."""
        return self._flights.roster.healths

    @property
    def loops(self) -> tuple[str, ...]:
        """A sentence for each configured server that is not asked, because it asks us."""
        return tuple(
            f"upstream {name_of(each)} is volt itself, or asks volt: it is not asked"
            for each in self._settings.upstreams
            if self._is_ourselves(each)
        )

    def _is_ourselves(self, upstream: Upstream) -> bool:
        mine = {(str(each), self._settings.port) for each in self._subnets.gateways}
        return upstream in mine or upstream in self._loops.found

    def _choose(self) -> None:
        """Find out whom to ask, and have what is on its way ask them."""
        for problem in self.loops:
            log.warning("%s; set network.dns.upstream", problem)
        before = {each.upstream for each in self.healths}
        allowed = [each for each in self._settings.upstreams if not self._is_ourselves(each)]
        self._flights.roster.replace(allowed)
        if before != set(allowed):
            self._flights.redirect()

    # ---- what was said before -----------------------------------------------------------------

    def recall(self, question: Question) -> Outcome | None:
        """What can be told without asking: a reply that is good, or that there was none lately."""
        now = self._clock()
        relayed = self._memory.find(question, now)
        if relayed is not None and relayed.is_alive(now):
            return Outcome(relayed)
        failure = self._failures.find(question, now)
        return None if failure is None else self._or_stale(question, failure)

    def flush(self) -> int:
        """Forget all replies; returns how many there were."""
        self._failures.clear()
        return self._memory.clear()

    def _or_stale(self, question: Question, failure: Outcome) -> Outcome:
        """`failure`, or the last good reply, where there is one (RFC 8767)."""
        relayed = self._memory.find(question, self._clock())
        if relayed is None:
            return failure
        self._counters.stale += 1
        return Outcome(relayed, is_stale=True)

    # ---- asking -------------------------------------------------------------------------------

    def ask(self, question: Question, client: str, deliver: Deliver) -> None:
        """Call `deliver` once, with what `client` is to be told: now, or within `give_up_after`."""
        through = self._loops.origin(question)
        if self._finished:
            deliver(STOPPING)
        elif through is not None:
            self._note_loop(through)
            deliver(LOOP)
        elif not self._admission.may_wait(client):
            self._turn_away(deliver)
        elif (flight := self._flights.find(question)) is not None:
            self._counters.coalesced += 1
            self._join(flight, client, deliver, time.monotonic())
        elif self._has_room(client):
            self._take_off(question, client, deliver)
        else:
            self._turn_away(deliver)

    async def finish(self, grace: float) -> None:
        """Wait `grace` seconds for those who wait; give up the rest and whatever comes later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._nobody_waits.wait()
        self._finished = True
        for flight in self._flights:
            self._land(flight, STOPPING)
        for probe in self._probes:
            probe.cancel()
        self._flights.close()
        await asyncio.sleep(0)  # cancelled tasks end here

    def _turn_away(self, deliver: Deliver) -> None:
        self._counters.overloaded += 1
        deliver(OVERLOADED)

    def _has_room(self, client: str) -> bool:
        """Whether `client` may start a flight. Who has most of them gives one up for it."""
        if not self._admission.may_start(client):
            return False
        if not self._admission.is_full:
            return True
        heaviest = self._admission.who_yields_to(client)
        if heaviest is None:
            return False
        oldest = next(each for each in self._flights if each.client == heaviest)
        self._counters.overloaded += len(oldest.waiting)
        self._land(oldest, OVERLOADED)
        return True

    def _take_off(self, question: Question, client: str, deliver: Deliver) -> None:
        now = time.monotonic()
        flight = self._flights.prepare(question, client, now)
        if flight is None:
            deliver(NO_UPSTREAM)
            return
        self._admission.start(client)
        self._join(flight, client, deliver, now)
        self._flights.start(flight)

    def _join(self, flight: Flight, client: str, deliver: Deliver, now: float) -> None:
        until = now + self._settings.give_up_after
        flight.waiting.append(Waiter(until, client, deliver))
        self._admission.join(client)
        self._nobody_waits.clear()

    # ---- how flights went ---------------------------------------------------------------------

    def answered(self, flight: Flight, relayed: Relayed) -> None:
        """A good answer, unless it points inside."""
        inside = culprit(relayed.addresses, self._subnets) if relayed.addresses else None
        if inside is not None:
            self._refuse(flight, str(inside))
            return
        self._memory.keep(flight.question, relayed)
        self._failures.drop(flight.question)
        self._land(flight, Outcome(relayed))

    def failed(self, flight: Flight, failure: Outcome) -> None:
        """No answer, so that question may rest for a while (RFC 9520)."""
        self._failures.note(flight.question, failure, self._clock())
        self._land(flight, self._or_stale(flight.question, failure))

    def kept_waiting(self, flight: Flight, waiters: list[Waiter]) -> None:
        """There may be an answer later, but these are told now what there is."""
        self._failures.note(flight.question, NO_ANSWER, self._clock())
        self._tell(waiters, self._or_stale(flight.question, NO_ANSWER))

    def fell_silent(self, upstream: Upstream) -> None:
        """Perhaps it asks us, and waits for our answer."""
        question = self._loops.suspect(upstream, self._clock())
        if question is not None:
            with suppress(OSError):
                self._probe(upstream, question)

    def is_back(self, upstream: Upstream) -> None:
        """What failed meanwhile may be asked again, and what is on its way asks it."""
        self._failures.clear()
        self._flights.redirect()

    def _refuse(self, flight: Flight, inside: str) -> None:
        self._counters.rebinding += 1
        if self._clock() - self._warned_at > _WARN_EVERY:
            self._warned_at = self._clock()
            log.warning("%s points at %s: not passed on", text_of(flight.question.name), inside)
        self._memory.drop(flight.question)
        self.failed(flight, REBINDING)

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        """Tell everybody who waits, and be done."""
        waiters = self._flights.land(flight)
        self._admission.end(flight.client)
        self._tell(waiters, outcome)

    def _tell(self, waiters: Iterable[Waiter], outcome: Outcome) -> None:
        for each in waiters:
            self._admission.leave(each.client)
            each.deliver(outcome)
        if not self._admission.waiting_in_all:
            self._nobody_waits.set()

    # ---- loops --------------------------------------------------------------------------------

    def _probe(self, upstream: Upstream, question: Question) -> None:
        """Send the question that gives a loop away. Raises OSError."""

        def done(_: Result) -> None:
            self._probes.discard(probe)

        def give_up() -> None:
            if probe in self._probes:
                self._probes.discard(probe)
                probe.cancel()

        ears = self._flights.ears
        probe = UdpExchange(upstream, question, ears, self._clock, self._counters, done)
        self._probes.add(probe)
        asyncio.get_running_loop().call_later(_LOOP_WAIT, give_up)

    def _note_loop(self, upstream: Upstream) -> None:
        if upstream not in self._loops.found:
            self._loops.found.add(upstream)
            self._choose()
