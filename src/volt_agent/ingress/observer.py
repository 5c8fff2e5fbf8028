"""What becomes of a finished request: it is counted, and logged where that is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .access_log import AccessLog
from .counters import Counters, Traffic
from .targets import Target

if TYPE_CHECKING:
    from .client import Client


class Observer:
    """The proxy's observer. `log` is None while there is none."""

    __slots__ = ("counters", "log")

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.log: AccessLog | None = None

    def log_to(self, place: str | None) -> None:
        """Have an access log there, or none; a file is opened anew if that is where it goes
        already."""
        if self.log is not None and self.log.place == place:
            self.log.reopen()
            return
        if self.log is not None:
            self.log.close()
        self.log = None if place is None else AccessLog(place)

    def finished(self, client: Client, target: Target | None) -> None:
        """Called once for each request, however it ended."""
        now = client.poller.now
        self.counters.requests += 1
        if target is None:
            traffic: Traffic = self.counters.unrouted
        else:
            traffic = target.bits
            if traffic is None:
                traffic = target.bits = Traffic(now)
        traffic.count(client.status, client.started, now, client.received, client.sent)
        if self.log is not None:
            self.log.write(client, target, now)
