"""What the name server counts. Plain integers, read by whoever exports them."""

from __future__ import annotations


class Counters:
    """Each query that comes in adds to exactly one of the first eight.

    Totals since the start, but for `in_flight` (questions on their way to an upstream server) and
    `connections` (TCP), which are of now.
    """

    __slots__ = (
        "cached",
        "coalesced",
        "connections",
        "connections_evicted",
        "dropped",
        "forwarded",
        "in_flight",
        "local",
        "malformed",
        "overloaded",
        "rationed",
        "rebinding",
        "refused",
        "relayed",
        "stale",
        "unsent",
        "upstream_failures",
        "upstream_queries",
        "upstream_strays",
        "upstream_timeouts",
    )

    def __init__(self) -> None:
        self.cached = 0  # answered from a finished tail
        self.local = 0  # answered from the snapshot
        self.relayed = 0  # answered from what an upstream server said before
        self.forwarded = 0  # sent upstream, or joined to the same question on its way
        self.refused = 0  # REFUSED or NOTIMP: not our class, type or business
        self.malformed = 0  # FORMERR or BADVERS
        self.dropped = 0  # no query at all, so no reply
        self.rationed = 0  # thrown away: the asker had had his ration of a flooded queue
        self.coalesced = 0  # of `forwarded`: joined to a question that was on its way
        self.overloaded = 0  # of `forwarded`: answered SERVFAIL because too many were on their way
        self.stale = 0  # told past their time, because no upstream server answered
        self.rebinding = 0  # upstream answers that pointed inside, and were not passed on
        self.in_flight = 0
        self.upstream_queries = 0
        self.upstream_timeouts = 0
        self.upstream_failures = 0  # refused connections, SERVFAIL and the like
        self.upstream_strays = 0  # replies to nothing that was asked: late, or forged
        self.connections = 0
        self.connections_evicted = 0  # closed to make room for a new one
        self.unsent = 0  # replies that the kernel did not take

    def __repr__(self) -> str:
        shown = ", ".join(f"{key} {value}" for key, value in self.as_dict().items() if value)
        return f"<Counters [{shown or 'nothing yet'}]>"

    def as_dict(self) -> dict[str, int]:
        return {key: getattr(self, key) for key in self.__slots__}

    @property
    def queries(self) -> int:
        """All that came in."""
        answered = self.cached + self.local + self.relayed + self.forwarded
        return answered + self.refused + self.malformed + self.dropped + self.rationed
