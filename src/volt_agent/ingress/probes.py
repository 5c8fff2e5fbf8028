"""Active health checks, and the live table of how every backend is.

Backends of several routes with the same check share it. Probes are sockets in the data path's
poller, without a thread or a task each: 30 us for one over TCP. At most AT_ONCE are under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections.abc import Callable

from ..config import HealthSection
from ..model.route import Route
from .health import Check, Result, Standing, State, after, delay
from .poller import Poller
from .probe import Probe
from .targets import Endpoint, Target

log = logging.getLogger(__name__)

AT_ONCE = 256
# Probes begun before the loop gets its turn: a millisecond.
BURST = 16
# Checks that began together drift apart by up to this part of their interval.
_SPREAD = 0.1

Change = Callable[[Endpoint, Standing], None]


class Watched:
    """A check, its standing, and the endpoints that go by it."""

    __slots__ = ("check", "due", "probe", "standing", "users")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.standing = Standing(since=time.time())
        self.users: dict[Endpoint, Target] = {}
        self.probe: Probe | None = None
        self.due = 0.0  # in the loop's time, while no probe is under way

    def __repr__(self) -> str:
        return f"<Watched {self.check} [{self.standing.state}, {len(self.users)} users]>"


class Prober:
    """Keeps `Endpoint.is_usable` true to the results of checks and requests.

    `on_change(endpoint, standing)` is called for every endpoint whose state has changed.
    """

    def __init__(self, poller: Poller, settings: HealthSection) -> None:
        self.on_change: Change = lambda _endpoint, _standing: None
        self._poller, self._settings = poller, settings
        self._checks: dict[Check, Watched] = {}
        self._of: dict[Endpoint, Watched] = {}
        self._agenda: list[tuple[float, int, Watched]] = []
        self._number = itertools.count()  # of entries: equal times are not compared further
        self._probing = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Prober [{len(self._checks)} checks, {self._probing} under way]>"

    def configure(self, settings: HealthSection) -> None:
        """Go by `settings` from the next result on; standings stay."""
        sooner = settings.interval < self._settings.interval
        self._settings = settings
        if sooner:
            for watched in self._checks.values():
                self._plan(watched, random.uniform(0.0, settings.interval))

    def admit(self, route: Route, target: Target, endpoint: Endpoint) -> None:
        """Have `endpoint` follow the check that `route` asks for: one that was admitted before
        changes over if that is another. The first probe begins at the next turn of the loop."""
        check = Check.of(route, endpoint.address)
        watched = self._checks.get(check)
        if self._of.get(endpoint) is watched is not None:
            return
        if watched is None:
            watched = self._checks[check] = Watched(check)
            self._plan(watched, 0.0)
        self.dismiss(endpoint)
        watched.users[endpoint] = target
        self._of[endpoint] = watched
        endpoint.is_doubted = watched.standing.streak < 0
        _apply(endpoint, target, watched.standing)

    def dismiss(self, endpoint: Endpoint) -> None:
        """Check it no more. The check itself ends with its last endpoint."""
        watched = self._of.pop(endpoint, None)
        if watched is None:
            return
        del watched.users[endpoint]
        if not watched.users:
            del self._checks[watched.check]
            if watched.probe is not None:
                self._end_probe(watched)

    def judge(self, endpoint: Endpoint) -> tuple[State, str | None]:
        """How an endpoint is, and why it is not healthy."""
        standing = self.standing(endpoint)
        return standing.state, None if standing.is_usable else standing.reason

    def standing(self, endpoint: Endpoint) -> Standing:
        watched = self._of.get(endpoint)
        return Standing() if watched is None else watched.standing

    def note(self, endpoint: Endpoint, ok: bool) -> None:
        """A request found out: whether the endpoint could be connected to and answered."""
        watched = self._of.get(endpoint)
        if watched is None or (ok and watched.standing.streak > 0):
            return
        result: Result = "served" if ok else "missed"
        if self._take(watched, result, None if ok else "requests to it failed"):
            # Make sure soon, whether that was a moment or an outage.
            self._plan(watched, delay(watched.standing, self._settings))

    def close(self) -> None:
        for endpoint in list(self._of):
            self.dismiss(endpoint)
        if self._timer is not None:
            self._timer.cancel()

    # ---- when -----------------------------------------------------------------------------------

    def _plan(self, watched: Watched, seconds: float) -> None:
        if watched.probe is not None:
            return  # its result plans the next one
        watched.due = asyncio.get_running_loop().time() + seconds
        heapq.heappush(self._agenda, (watched.due, next(self._number), watched))
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._agenda:
            return
        due = self._agenda[0][0]
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._run)

    def _run(self) -> None:
        """Begin the probes that are due."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for _ in range(BURST):
            if self._probing >= AT_ONCE:
                return  # the next result comes back here
            if not self._agenda or self._agenda[0][0] > now:
                break
            due, _, watched = heapq.heappop(self._agenda)
            # Else it has another date by now, or nobody is interested any more.
            if watched.due == due and watched.users and watched.probe is None:
                self._begin_probe(watched)
        self._set_timer()

    # ---- what -----------------------------------------------------------------------------------

    def _begin_probe(self, watched: Watched) -> None:
        def done(passed: bool | None, reason: str | None) -> None:
            self._done(watched, passed, reason)

        self._probing += 1
        watched.probe = Probe(self._poller, watched.check, self._settings.timeout, done)
        watched.probe.begin()

    def _end_probe(self, watched: Watched) -> None:
        assert watched.probe is not None
        watched.probe.close()
        watched.probe = None
        if self._probing == AT_ONCE:
            self._set_timer()
        self._probing -= 1

    def _done(self, watched: Watched, passed: bool | None, reason: str | None) -> None:
        self._end_probe(watched)
        if passed is not None:
            self._take(watched, "passed" if passed else "failed", reason)
        seconds = delay(watched.standing, self._settings)
        self._plan(watched, seconds * random.uniform(1.0 - _SPREAD, 1.0))

    def _take(self, watched: Watched, result: Result, reason: str | None) -> bool:
        """Count a result in; whether that made a difference."""
        before = watched.standing
        now = after(before, result, reason, self._settings, time.time())
        watched.standing = now
        for endpoint in watched.users:
            endpoint.is_doubted = now.streak < 0
        if now.state != before.state:
            _tell(watched, before.state)
            for endpoint, target in list(watched.users.items()):
                _apply(endpoint, target, now)
                self.on_change(endpoint, now)
        return now is not before


def _apply(endpoint: Endpoint, target: Target, standing: Standing) -> None:
    if endpoint.is_usable != standing.is_usable:
        endpoint.is_usable = standing.is_usable
        target.refresh()


def _tell(watched: Watched, was: State) -> None:
    fields = {"backend": str(watched.check), "was": was}
    if watched.standing.is_usable:
        log.info("a backend is healthy", extra={"fields": fields})
    else:
        fields["reason"] = watched.standing.reason or ""
        log.warning("a backend is out", extra={"fields": fields})
