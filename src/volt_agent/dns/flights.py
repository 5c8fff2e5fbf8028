"""Flights under way: whom they ask, what comes back, and what is due.

Nothing here knows what is remembered or who may ask: a `Tower` is told how each flight went.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Protocol

from .counters import Counters
from .ears import Ears
from .flight import Attempt, Flight, Waiter
from .health import Roster, Upstream, name_of
from .outcome import NO_ANSWER, OVERLOADED, USELESS, Outcome
from .question import Question
from .reply import Relayed
from .upstream import Clock, Failure, Result, TcpExchange, UdpExchange

log = logging.getLogger(__name__)

# Sockets in use at a time, for all flights. Above it no second server is asked as well: a process
# has 1,024 descriptors by default.
EXCHANGES_MAX = 640
# Where the trouble is our own, no server is to blame.
_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# How often it is looked whether something is due (seconds). A timer of the loop for each flight
# costs a tenth of all that a question costs.
TICK = 0.05
# How many flights are seen to in one turn of the loop, each with a question to send, perhaps.
_PER_TICK = 32


class Tower(Protocol):
    """Who is told how flights went."""

    def answered(self, flight: Flight, relayed: Relayed) -> None:
        """A server had an answer. The flight is over once `land` is called."""

    def failed(self, flight: Flight, failure: Outcome) -> None:
        """No server had one."""

    def kept_waiting(self, flight: Flight, waiters: list[Waiter]) -> None:
        """These have waited long enough. Their flight goes on."""

    def fell_silent(self, upstream: Upstream) -> None:
        """A server does not answer any more."""

    def is_back(self, upstream: Upstream) -> None:
        """A server that was silent has answered."""


class Flights:
    """All questions on their way. Flights' times are those of time.monotonic, as the loop's."""

    def __init__(self, tower: Tower, roster: Roster, clock: Clock, counters: Counters) -> None:
        self.roster = roster
        self.ears = Ears()
        self._tower = tower
        self._clock = clock
        self._counters = counters
        self._flights: dict[Question, Flight] = {}
        self._lingering: dict[Flight, None] = {}  # over, but a server may still show its speed
        self._exchanges = 0
        self._ticker: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Flights [{len(self._flights)} under way, {len(self._lingering)} lingering]>"

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        """Those under way, the oldest first."""
        return iter(tuple(self._flights.values()))

    def find(self, question: Question) -> Flight | None:
        """The flight of `question`, if there is one."""
        return self._flights.get(question)

    def prepare(self, question: Question, client: str, now: float) -> Flight | None:
        """A flight that is ready to `start`; None where there is no server to ask."""
        servers, at_once = self.roster.order(self._clock())
        if not servers:
            return None
        flight = Flight(question, client, servers, at_once, now)
        self._flights[question] = flight
        self._counters.in_flight = len(self._flights)
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)
        return flight

    def start(self, flight: Flight) -> None:
        """Ask. It may be over at once."""
        self._ask_next(flight, flight.began)
        if flight.at_once > 1 and not flight.is_over:
            self._ask_next(flight, flight.began)

    def land(self, flight: Flight) -> list[Waiter]:
        """A flight is over; returns who waits for it. Servers that were late may still be heard."""
        flight.is_over = True
        del self._flights[flight.question]
        self._counters.in_flight = len(self._flights)
        if flight.attempts:
            for attempt in [each for each in flight.attempts if not flight.is_of_interest(each)]:
                self._drop(flight, attempt)
            if flight.attempts:
                self._lingering[flight] = None
        return flight.take_all()

    def redirect(self) -> None:
        """Have all flights ask the present servers, from the best on."""
        servers, _ = self.roster.order(self._clock())
        for flight in self:
            for attempt in [each for each in flight.attempts if each.upstream not in self.roster]:
                self._drop(flight, attempt)
            flight.redirect(servers, time.monotonic())

    def close(self) -> None:
        """Hear nothing any more; all flights have landed."""
        for flight in (*self._flights.values(), *self._lingering):
            for attempt in tuple(flight.attempts):
                self._drop(flight, attempt)
        self._lingering.clear()
        self.ears.shut()
        if self._ticker is not None:
            self._ticker.cancel()

    # ---- asking -------------------------------------------------------------------------------

    def _ask_next(self, flight: Flight, now: float) -> None:
        """Ask the next server that can be asked; where all have failed, that was it."""
        while flight.servers and (self._exchanges < EXCHANGES_MAX or not flight.attempts):
            upstream = flight.servers.pop(0)
            health = self.roster.find(upstream)
            if health is None:
                continue
            try:
                self._send(flight, upstream, now)
            except OSError as error:
                if error.errno in _OUR_OWN_LIMITS:
                    self._tower.failed(flight, OVERLOADED)
                    return
                self._blame(upstream, Failure.UNREACHABLE)
                continue
            health.note_question(self._clock())
            flight.plan_next(now, health.patience)
            return
        if not flight.attempts:
            word = flight.last_word
            self._tower.failed(flight, USELESS if word is None else Outcome(word))

    def _send(self, flight: Flight, upstream: Upstream, now: float) -> None:
        """Put the question to a server. Raises OSError."""
        self._counters.upstream_queries += 1
        attempt = Attempt(upstream, now)
        done = partial(self._on_result, flight, attempt)
        attempt.exchange = UdpExchange(
            upstream, flight.question, self.ears, self._clock, self._counters, done
        )
        flight.attempts.append(attempt)
        self._exchanges += 1

    def _drop(self, flight: Flight, attempt: Attempt) -> None:
        """An attempt is over."""
        flight.attempts.remove(attempt)
        self._exchanges -= 1
        if attempt.exchange is not None:
            attempt.exchange.cancel()

    # ---- what is due --------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        everything = (*self._flights.values(), *self._lingering)
        due = list(islice((each for each in everything if each.due <= now), _PER_TICK))
        for flight in due:
            self._see_to(flight, now)
        self._ticker = None
        if self._flights or self._lingering:
            soon = 0.0 if len(due) == _PER_TICK else TICK
            self._ticker = asyncio.get_running_loop().call_later(soon, self._tick)

    def _see_to(self, flight: Flight, now: float) -> None:
        if now >= flight.ends:
            self._end(flight, now)
        elif waiters := flight.take_due(now):
            self._tower.kept_waiting(flight, waiters)
        elif not flight.is_over:
            self._note_lateness(flight, now)
            self._ask_next(flight, now)

    def _end(self, flight: Flight, now: float) -> None:
        """Nobody will answer this any more."""
        self._note_lateness(flight, now)
        if not flight.is_over:
            self._tower.failed(flight, NO_ANSWER)
        self._lingering.pop(flight, None)
        for attempt in tuple(flight.attempts):
            self._drop(flight, attempt)

    def _note_lateness(self, flight: Flight, now: float) -> None:
        """The servers that should have answered by now have not."""
        for attempt in flight.attempts:
            if attempt.is_overdue or attempt.upstream not in self.roster:
                continue
            attempt.is_overdue = True
            self._counters.upstream_timeouts += 1
            asked_at = self._clock() - (now - attempt.asked_at)
            if self.roster[attempt.upstream].note_silence(asked_at):
                log.warning("upstream %s is silent", name_of(attempt.upstream))
                self._tower.fell_silent(attempt.upstream)

    # ---- what comes back ----------------------------------------------------------------------

    def _on_result(self, flight: Flight, attempt: Attempt, result: Result) -> None:
        """What a server came up with; its exchange is over."""
        attempt.exchange = None
        if isinstance(result, Failure) and not flight.is_over:
            try:
                if self._ask_otherwise(flight, attempt, result):
                    return
            except OSError:
                result = Failure.UNREACHABLE
        self._drop(flight, attempt)
        if isinstance(result, Relayed):
            self._trust(attempt)
        else:
            self._blame(attempt.upstream, result)
        if flight.is_over:
            if not flight.attempts:
                self._lingering.pop(flight, None)
        elif isinstance(result, Relayed) and not result.is_failure:
            self._tower.answered(flight, result)
        else:
            self._go_on(flight, attempt.upstream, result)

    def _ask_otherwise(self, flight: Flight, attempt: Attempt, failure: Failure) -> bool:
        """Put the question to the same server in another way, if `failure` asks for that. Raises
        OSError."""
        server, question = attempt.upstream, flight.question
        done = partial(self._on_result, flight, attempt)
        match failure:
            case Failure.ASK_OVER_TCP:
                attempt.exchange = TcpExchange(server, question, self._clock, done, attempt.edns)
            case Failure.ASK_WITHOUT_EDNS:
                attempt.edns = False
                attempt.exchange = UdpExchange(
                    server, question, self.ears, self._clock, self._counters, done, edns=False
                )
            case _:
                return False
        self._counters.upstream_queries += 1
        return True

    def _go_on(self, flight: Flight, upstream: Upstream, result: Result) -> None:
        """A server did not help: ask the next one at once, and this one not again."""
        flight.rule_out(upstream)
        if isinstance(result, Relayed):
            self._counters.upstream_failures += 1
            flight.last_word = result
        if not flight.is_second_round or not flight.attempts:
            self._ask_next(flight, time.monotonic())

    def _trust(self, attempt: Attempt) -> None:
        """A server has answered something."""
        health = self.roster.find(attempt.upstream)
        if health is None:
            return
        waited = time.monotonic() - attempt.asked_at
        if health.note_answer(self._clock(), waited):
            log.info("upstream %s answers again", name_of(attempt.upstream))
            self._tower.is_back(attempt.upstream)

    def _blame(self, upstream: Upstream, failure: Failure) -> None:
        """A server cannot be reached, or talks nonsense."""
        self._counters.upstream_failures += 1
        if upstream in self.roster and self.roster[upstream].note_failure():
            log.warning("upstream %s %s", name_of(upstream), failure.value)
