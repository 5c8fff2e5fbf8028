"""Questions that are not ours go upstream: with limits, failover, and a memory of what was said.

A question is asked once for all who ask it (`flight`). The best server gets it first (`health`),
the next one as soon as that one is late; the first good answer wins. Who has waited long enough is
told what there is: an answer past its time, or that there is none. What comes later is remembered.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .admission import Admission
from .counters import Counters
from .flight import Attempt, Deliver, Flight, Waiter
from .health import Health, Roster, Upstream, name_of
from .loops import Loops
from .memory import Failures, Memory
from .outcome import (
    LOOP,
    NO_ANSWER,
    NO_UPSTREAM,
    OVERLOADED,
    REBINDING,
    STOPPING,
    USELESS,
    Outcome,
)
from .question import Question
from .rebinding import culprit
from .reply import Relayed
from .settings import DnsSettings
from .upstream import Clock, Ears, Exchange, Failure, Result, TcpExchange, UdpExchange
from .view import Subnets
from .wire import text_of

__all__ = ["Forwarder", "Outcome", "Question"]

log = logging.getLogger(__name__)

# Sockets in use at a time, for all flights. Above it no second server is asked as well: a process
# has 1,024 descriptors by default.
EXCHANGES_MAX = 640
# Where the trouble is our own, no server is to blame.
_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# How long the question that gives a loop away may take to come back (seconds).
_LOOP_WAIT = 2.0
# Flights that have to ask other servers do so one after the other, this far apart (seconds).
_REDIRECT_PACE = 0.0002
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
        self._roster = Roster(settings.upstreams)
        self._loops = Loops()
        self._flights: dict[Question, Flight] = {}
        self._lingering: set[Flight] = set()  # over, but a server's answer is still of interest
        self._probes: set[Exchange] = set()
        self._exchanges = 0
        self._finished = False
        self._ears = Ears()
        self._landed = asyncio.Event()
        self._landed.set()
        self._warned_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Forwarder [{len(self._flights)} in flight, {self._memory!r}, {self._roster!r}]>"

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
        return self._roster.healths

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
        """Find out whom to ask, and have flights that are on their way ask them."""
        for problem in self.loops:
            log.warning("%s; set network.dns.upstream", problem)
        before = {each.upstream for each in self._roster.healths}
        allowed = [each for each in self._settings.upstreams if not self._is_ourselves(each)]
        self._roster.replace(allowed)
        if before != set(allowed):
            self._redirect_flights()

    def _redirect_flights(self) -> None:
        """Have all that is on its way ask the present servers, from the best on."""
        order, _ = self._roster.order(self._clock())
        at = asyncio.get_running_loop().time() if self._flights else 0.0
        for flight in self._flights.values():
            for attempt in [each for each in flight.attempts if each.upstream not in self._roster]:
                self._drop(flight, attempt)
            flight.redirect(order, at)
            self._arm(flight)
            at += _REDIRECT_PACE

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
        if relayed is None or failure is REBINDING:
            return failure
        self._counters.stale += 1
        return Outcome(relayed, is_stale=True)

    # ---- asking -------------------------------------------------------------------------------

    def ask(self, question: Question, client: str, deliver: Deliver) -> None:
        """Call `deliver` once, with what `client` is to be told: now, or within `give_up_after`."""
        if self._finished:
            deliver(STOPPING)
        elif (through := self._loops.origin(question)) is not None:
            self._note_loop(through)
            deliver(LOOP)
        elif (flight := self._flights.get(question)) is not None and self._may_wait(client):
            self._counters.coalesced += 1
            self._join(flight, client, deliver)
        elif flight is None and self._may_wait(client) and self._has_room(client):
            self._take_off(question, client, deliver)
        else:
            self._counters.overloaded += 1
            deliver(OVERLOADED)

    async def finish(self, grace: float) -> None:
        """Wait `grace` seconds for those who wait; give up the rest and whatever comes later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._landed.wait()
        self._finished = True
        for flight in list(self._flights.values()):
            self._land(flight, STOPPING)
        for flight in list(self._lingering):
            self._clear(flight)
        for probe in self._probes:
            probe.cancel()
        self._ears.shut()
        await asyncio.sleep(0)  # cancelled tasks end here

    def _may_wait(self, client: str) -> bool:
        return self._admission.may_wait(client)

    def _has_room(self, client: str) -> bool:
        """Whether `client` may start a flight. Who has most of them gives one up for it."""
        if not self._admission.may_start(client):
            return False
        if not self._admission.is_full:
            return True
        heaviest = self._admission.who_yields_to(client)
        if heaviest is None:
            return False
        oldest = next(each for each in self._flights.values() if each.client == heaviest)
        self._counters.overloaded += len(oldest.waiting)
        self._land(oldest, OVERLOADED)
        return True

    def _take_off(self, question: Question, client: str, deliver: Deliver) -> None:
        order, at_once = self._roster.order(self._clock())
        if not order:
            deliver(NO_UPSTREAM)
            return
        now = asyncio.get_running_loop().time()
        flight = self._flights[question] = Flight(question, client, order, now)
        self._admission.start(client)
        self._counters.in_flight = len(self._flights)
        self._join(flight, client, deliver)
        for _ in range(at_once):
            if not flight.is_over:
                self._ask_next(flight, is_race=at_once > 1)
        self._arm(flight)

    def _join(self, flight: Flight, client: str, deliver: Deliver) -> None:
        until = asyncio.get_running_loop().time() + self._settings.give_up_after
        flight.waiting.append(Waiter(until, client, deliver))
        self._admission.join(client)
        self._landed.clear()
        if len(flight.waiting) == 1:
            self._arm(flight)

    def _ask_next(self, flight: Flight, is_race: bool = False) -> None:
        """Ask the next server that can be asked; where all have failed, that was it."""
        loop = asyncio.get_running_loop()
        while flight.servers and (self._exchanges < EXCHANGES_MAX or not flight.attempts):
            upstream = flight.servers.popleft()
            if upstream not in self._roster:
                continue
            attempt = Attempt(upstream, loop.time(), is_race)
            try:
                self._send(flight, attempt)
            except OSError as error:
                if error.errno in _OUR_OWN_LIMITS:
                    self._land(flight, OVERLOADED)
                    return
                self._blame(upstream, Failure.UNREACHABLE)
                continue
            flight.plan_next(loop.time(), self._roster[upstream].patience)
            return
        if not flight.attempts:
            self._fail(flight, USELESS if flight.last_word is None else Outcome(flight.last_word))

    def _send(self, flight: Flight, attempt: Attempt) -> None:
        """Put the question to a server. Raises OSError."""
        self._counters.upstream_queries += 1
        done = partial(self._on_result, flight, attempt)
        attempt.exchange = UdpExchange(
            attempt.upstream, flight.question, self._ears, self._clock, self._counters, done
        )
        flight.attempts.append(attempt)
        self._exchanges += 1
        self._roster[attempt.upstream].note_question(self._clock())

    # ---- what is due --------------------------------------------------------------------------

    def _arm(self, flight: Flight) -> None:
        """Have the loop call when the next thing is due."""
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if not flight.is_over or flight.attempts:
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_at(flight.due, self._on_time, flight)

    def _on_time(self, flight: Flight) -> None:
        flight.timer = None
        now = asyncio.get_running_loop().time()
        if now >= flight.ends:
            self._end(flight)
            return
        due = flight.take_due(now)
        if due:
            outcome = self._or_stale(flight.question, NO_ANSWER)
            self._failures.note(flight.question, NO_ANSWER, self._clock())
            self._tell(due, outcome)
        elif flight.servers and now >= flight.next_at:
            self._note_lateness(flight)
            self._ask_next(flight)
        self._arm(flight)

    def _end(self, flight: Flight) -> None:
        """Nobody will answer this any more."""
        self._note_lateness(flight)
        if flight.is_over:
            self._clear(flight)
        else:
            self._fail(flight, NO_ANSWER)

    def _note_lateness(self, flight: Flight) -> None:
        """The servers that should have answered by now have not."""
        for attempt in flight.attempts:
            if attempt.is_overdue or attempt.upstream not in self._roster:
                continue
            attempt.is_overdue = True
            self._counters.upstream_timeouts += 1
            # What a server said is on our clock, so the time of the question has to be, too.
            waited = asyncio.get_running_loop().time() - attempt.asked_at
            if self._roster[attempt.upstream].note_silence(self._clock() - waited):
                log.warning("upstream %s is silent", name_of(attempt.upstream))
                self._look_for_loop(attempt.upstream)

    # ---- answers ------------------------------------------------------------------------------

    def _on_result(self, flight: Flight, attempt: Attempt, result: Result) -> None:
        """What a server came up with; its exchange is over."""
        attempt.exchange = None
        if result is Failure.ASK_OVER_TCP and not flight.is_over:
            self._counters.upstream_queries += 1
            done = partial(self._on_result, flight, attempt)
            attempt.exchange = TcpExchange(attempt.upstream, flight.question, self._clock, done)
            return
        self._drop(flight, attempt)
        if isinstance(result, Relayed):
            self._trust(attempt)
        else:
            self._blame(attempt.upstream, result)
        if flight.is_over:
            if not flight.attempts:
                self._clear(flight)
        elif isinstance(result, Relayed) and not result.is_failure:
            self._accept(flight, result)
        else:
            self._go_on(flight, attempt.upstream, result)

    def _go_on(self, flight: Flight, upstream: Upstream, result: Result) -> None:
        """A server did not help: ask the next one at once, and this one not again."""
        flight.rule_out(upstream)
        if isinstance(result, Relayed):
            self._counters.upstream_failures += 1
            flight.last_word = result
        if not flight.is_second_round or not flight.attempts:
            self._ask_next(flight)
        if not flight.is_over:
            self._arm(flight)

    def _accept(self, flight: Flight, relayed: Relayed) -> None:
        """A good answer, unless it points inside."""
        inside = culprit(relayed.addresses, self._subnets) if relayed.addresses else None
        if inside is None:
            self._memory.keep(flight.question, relayed)
            self._failures.drop(flight.question)
            self._land(flight, Outcome(relayed))
            return
        self._counters.rebinding += 1
        self._memory.drop(flight.question)
        if self._clock() - self._warned_at > _WARN_EVERY:
            self._warned_at = self._clock()
            log.warning("%s points at %s: not passed on", text_of(flight.question.name), inside)
        self._fail(flight, REBINDING)

    def _fail(self, flight: Flight, failure: Outcome) -> None:
        self._failures.note(flight.question, failure, self._clock())
        self._land(flight, self._or_stale(flight.question, failure))

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        """Tell everybody who waits, and be done; servers that were late may still be heard."""
        flight.is_over = True
        del self._flights[flight.question]
        self._admission.end(flight.client)
        self._counters.in_flight = len(self._flights)
        flight.servers.clear()
        for attempt in [each for each in flight.attempts if not _is_of_interest(each)]:
            self._drop(flight, attempt)
        if flight.attempts and not self._finished:
            self._lingering.add(flight)
            self._arm(flight)
        else:
            self._clear(flight)
        waiting = list(flight.waiting)
        flight.waiting.clear()
        self._tell(waiting, outcome)

    def _tell(self, waiting: list[Waiter], outcome: Outcome) -> None:
        for each in waiting:
            self._admission.leave(each.client)
            each.deliver(outcome)
        if not self._admission.waiting_in_all:
            self._landed.set()

    def _drop(self, flight: Flight, attempt: Attempt) -> None:
        """An attempt is over."""
        flight.attempts.remove(attempt)
        self._exchanges -= 1
        if attempt.exchange is not None:
            attempt.exchange.cancel()
            attempt.exchange = None

    def _clear(self, flight: Flight) -> None:
        """Nothing of a flight that is over is of interest any more."""
        self._lingering.discard(flight)
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        for attempt in list(flight.attempts):
            self._drop(flight, attempt)

    # ---- servers ------------------------------------------------------------------------------

    def _trust(self, attempt: Attempt) -> None:
        """A server has answered something."""
        if attempt.upstream not in self._roster:
            return
        waited = asyncio.get_running_loop().time() - attempt.asked_at
        if self._roster[attempt.upstream].note_answer(self._clock(), waited):
            log.info("upstream %s answers again", name_of(attempt.upstream))
            self._failures.clear()
            self._redirect_flights()

    def _blame(self, upstream: Upstream, failure: Failure) -> None:
        self._counters.upstream_failures += 1
        if upstream in self._roster and self._roster[upstream].note_failure():
            log.warning("upstream %s %s", name_of(upstream), failure.value)

    def _look_for_loop(self, upstream: Upstream) -> None:
        """A server is silent: does it ask us?"""
        question = self._loops.suspect(upstream, self._clock())
        if question is None:
            return
        done: Callable[[Result], None] = lambda _: self._probes.discard(probe)  # noqa: E731
        with suppress(OSError):
            probe = UdpExchange(upstream, question, self._ears, self._clock, self._counters, done)
            self._probes.add(probe)
            asyncio.get_running_loop().call_later(_LOOP_WAIT, self._stop_probe, probe)

    def _stop_probe(self, probe: Exchange) -> None:
        if probe in self._probes:
            self._probes.discard(probe)
            probe.cancel()

    def _note_loop(self, upstream: Upstream) -> None:
        if upstream not in self._loops.found:
            self._loops.found.add(upstream)
            self._choose()


def _is_of_interest(attempt: Attempt) -> bool:
    """Whether its answer still tells something about the server: how slow it is, or that it is
    there."""
    return attempt.is_race or attempt.is_overdue
