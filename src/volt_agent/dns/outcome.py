"""How a question that went upstream ended: what its askers are told."""

from __future__ import annotations

from msgspec import Struct

from . import wire
from .extended import Info, option
from .reply import Relayed, Tail
from .wire import Query, Rcode


class Outcome(Struct, frozen=True):
    """A server's reply, fresh or (`is_stale`) past its time; or none, and then `rcode` and why.

    `error` is an EDNS option with an extended error, for those who sent EDNS.
    """

    relayed: Relayed | None = None
    is_stale: bool = False
    rcode: Rcode = Rcode.SERVFAIL
    error: bytes = b""

    @property
    def is_failure(self) -> bool:
        return self.relayed is None or self.relayed.is_failure

    def tail_for(self, query: Query) -> Tail | bytes:
        """The reply to `query` without its id; a Tail where it may be used again."""
        if self.relayed is None:
            return wire.reply_tail(query, self.rcode, options=self.error)
        if self.is_stale:
            return self.relayed.stale_tail_for(query)
        return self.relayed.tail_for(query)


def _failed(code: Info, text: str, rcode: Rcode = Rcode.SERVFAIL) -> Outcome:
    return Outcome(rcode=rcode, error=option(code, text))


# What is above the limits gets SERVFAIL rather than REFUSED: resolvers ask again after it at once
# or go on to their next server, while musl ignores REFUSED and waits five seconds.
OVERLOADED = _failed(Info.OTHER, "too many questions are on their way")
STOPPING = _failed(Info.NOT_READY, "the agent is stopping")
NO_UPSTREAM = _failed(Info.NETWORK_ERROR, "there is no upstream server to ask")
NO_ANSWER = _failed(Info.NO_REACHABLE_AUTHORITY, "no upstream server answered in time")
USELESS = _failed(Info.NETWORK_ERROR, "no upstream server said anything of use")
CACHED = _failed(Info.CACHED_ERROR, "no upstream server answered a moment ago")
REBINDING = _failed(Info.BLOCKED, "points at this host or a network of its", Rcode.REFUSED)
LOOP = _failed(Info.OTHER, "this question came back from an upstream server")
ISOLATED = _failed(Info.PROHIBITED, "no network of the asker has a way out", Rcode.REFUSED)
