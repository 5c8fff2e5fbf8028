"""One packet, one reply: parse, decide, build, remember; or hand the question to the forwarder."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import partial

from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from . import wire
from .answers import Found, Names
from .cache import TailCache, find_tail
from .counters import Counters
from .forward import Forwarder, Question
from .outcome import ISOLATED, Outcome
from .reply import Tail
from .settings import DnsSettings
from .view import Sight, View, Views
from .wire import Malformed, Query, Rcode, Type

Send = Callable[[bytes], None]

# How many finished replies are kept, by kind. `known` names cannot be made up by strangers; the
# other kinds can, and have bounds of their own so that they do not push the known ones out.
# Measured: 300 octets each, 39 MB when all the room for known ones is taken.
CACHE_LIMITS = {
    "known": 131_072,
    "reverse": 4_096,
    "unknown": 4_096,
    "reserved": 4_096,
    "relayed": 16_384,
}
# The same name comes in some eight forms per view (A and AAAA, with and without EDNS, glibc, musl,
# resolved), and there are a few views for each.
PER_NAME = 64

# Zone transfers, obsolete mail types, and OPT, which is not something to ask for.
REFUSED_TYPES = frozenset((Type.IXFR, Type.AXFR, Type.MAILB, Type.MAILA, Type.OPT))


def _send_as_asked(name: bytes, send: Send, reply: bytes) -> None:
    """Send `reply` with the name of the question in the asker's mix of cases ("0x20")."""
    start, end = wire.HEADER.size, wire.HEADER.size + len(name)
    send(reply[:start] + name + reply[end:])


class Reach(Enum):
    """Where an answer comes from."""

    LOCAL = "local"
    RESERVED = "reserved"
    FORWARDED = "forwarded"
    REFUSED = "refused"


class Responder:
    """Answers queries from the snapshot it follows.

    `respond` is the way of everything that is not a finished tail already.
    """

    def __init__(
        self,
        settings: DnsSettings,
        forwarder: Forwarder,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = Names(settings)
        self.views = Views()
        self.snapshot = Snapshot()
        self.caches = {kind: TailCache(size, PER_NAME) for kind, size in CACHE_LIMITS.items()}
        self._moment = 0  # counts what may have changed whose a name is
        self._settings = settings
        self._forwarder = forwarder
        self._counters = counters
        self._clock = clock

    # ---- following the snapshot ---------------------------------------------------------------

    def start(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.views.start(snapshot)
        self._forwarder.surround(self.views.subnets)

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> int:
        """Take in a change; every answer after it is right. Returns how many tails it dropped.

        The work is proportional to what `change` touches, not to what there is.
        """
        self.snapshot = new
        self._moment += 1
        dropped = 0
        if self.views.follow(old, new, change):
            dropped += self._networks_changed(change)
        names = set[bytes]()
        for each in change.touched():
            names.update(self.names.owners(old.find(each)))
            names.update(self.names.owners(each))
        return dropped + self._drop(names)

    def configure(self, settings: DnsSettings) -> None:
        """Go by other settings. Raises Invalid, and then nothing has changed."""
        self.names = Names(settings)
        self._settings = settings
        self._moment += 1
        self.flush()

    def flush(self) -> int:
        """Empty all caches; returns how many entries they had."""
        return sum(each.clear() for each in self.caches.values()) + self._forwarder.flush()

    def _drop(self, names: AbstractSet[bytes]) -> int:
        return sum([cache.drop_all(names) for cache in self.caches.values()])

    def _networks_changed(self, change: Change) -> int:
        """Which addresses are ours is another question now, and who may ask upstream."""
        self._forwarder.surround(self.views.subnets)
        about_addresses = ("reverse", "reserved", "relayed")
        dropped = sum(self.caches[each].clear() for each in about_addresses)
        for each in change.touched():
            if isinstance(each, Network):
                dropped += self._drop(set(self.names.structural(each.name)))
        return dropped

    def view_of(self, network: Network, host: str) -> View:
        """The view of `host` (an address as text) when it asks on `network`."""
        source = socket.inet_aton(host)
        known = self.views.askers(network.name).get(source)
        return known or self.views.meet(self.snapshot, network, source)

    # ---- answering ----------------------------------------------------------------------------

    def respond(
        self, view: View, packet: bytes, client: str, send: Send, stream: bool = False
    ) -> bool:
        """Answer `packet` for `view`: call `send` once, now or later.

        `client` is who pays when there is too much to forward; `stream` says TCP, where nothing is
        too long. Returns False, without a call, where there will be no reply.
        """
        if not stream and (tail := find_tail(view.tails, packet, self._clock())) is not None:
            self._counters.cached += 1
            send(packet[:2] + tail)
            return True
        return self.respond_anew(view, packet, client, send, stream)

    def respond_anew(
        self, view: View, packet: bytes, client: str, send: Send, stream: bool = False
    ) -> bool:
        """The same, for a packet that no finished tail is there for."""
        if not wire.may_be_answered(packet):
            self._counters.dropped += 1
            return False
        rcode, query = self._read(packet)
        if query is not None and not query.is_lower_case:
            # All that follows is about the name in lower case; the asker gets his own back.
            send = partial(_send_as_asked, query.asked_name, send)
            query = query.in_lower_case()
        if query is None:
            send(wire.error_reply(packet, rcode))
        elif rcode:
            send(packet[:2] + wire.reply_tail(query, rcode))
        elif (found := self._look_up(view, query)) is not None:
            self._counters.local += 1
            self._tell(view, query, found, send, stream)
        else:
            self._relay(view, query, client, send, stream)
        return True

    def may_forward(self, sight: Sight) -> bool:
        """Whether names that are not ours are asked upstream: not for those without a way out."""
        if sight.networks is None or self._settings.forward_isolated:
            return True
        for each in sight.networks:
            network = self.snapshot.networks.get(each)
            if network is not None and network.nat:
                return True
        return False

    def reach(self, sight: Sight, name: bytes, qtype: int) -> Reach:
        """Where the answer to a question comes from."""
        if qtype in REFUSED_TYPES:
            return Reach.REFUSED
        found = self.names.look_up(self.snapshot, self.views.subnets, sight, name, qtype)
        if found is not None:
            return Reach.RESERVED if found.kind == "reserved" else Reach.LOCAL
        return Reach.FORWARDED if self.may_forward(sight) else Reach.REFUSED

    def _read(self, packet: bytes) -> tuple[int, Query | None]:
        """The query, unless it cannot be read; and the rcode with which to refuse it, if so."""
        if packet[2] & wire.OPCODE >> 8:
            self._counters.refused += 1
            return Rcode.NOTIMP, None
        try:
            query = wire.read_query(packet)
        except Malformed:
            self._counters.malformed += 1
            return Rcode.FORMERR, None
        if query.edns is not None and query.edns.version:
            self._counters.malformed += 1
            return Rcode.BADVERS, query
        if query.qclass != wire.CLASS_IN or query.qtype in REFUSED_TYPES:
            self._counters.refused += 1
            return Rcode.REFUSED, query
        return Rcode.NOERROR, query

    def _look_up(self, view: View, query: Query) -> Found | None:
        subnets = self.views.subnets
        return self.names.look_up(self.snapshot, subnets, view.sight, query.name, query.qtype)

    def _tell(self, view: View, query: Query, found: Found, send: Send, stream: bool) -> None:
        """Send what the snapshot says."""
        authority = () if found.answer else self.names.negative(found)
        tail = wire.reply_tail(query, found.rcode, found.answer, authority, wire.AA)
        if not stream:
            tail = wire.truncated(query, tail, query.room)
            self._keep(found.kind, view, query, tail)
        send(query.packet[:2] + tail)

    def _relay(self, view: View, query: Query, client: str, send: Send, stream: bool) -> None:
        """Send what an upstream server says, or said. Who does not want recursion gets none."""
        may_forward = self.may_forward(view.sight)
        if not query.flags & wire.RD or not may_forward:
            self._counters.refused += 1
            why = b"" if may_forward else ISOLATED.error
            send(query.packet[:2] + wire.reply_tail(query, Rcode.REFUSED, options=why))
            return
        question = Question.of(query)
        outcome = self._forwarder.recall(question)
        if outcome is not None:
            self._counters.relayed += 1
            self._pass_on(view, query, outcome, send, stream)
            return
        self._counters.forwarded += 1
        deliver = partial(self._deliver, self._moment, view, query, send, stream)
        self._forwarder.ask(question, client, deliver)

    def _deliver(
        self,
        asked: int,
        view: View,
        query: Query,
        send: Send,
        stream: bool,
        outcome: Outcome,
    ) -> None:
        """An upstream server has answered, or none has. Meanwhile the name may have become ours."""
        found = None if asked == self._moment else self._look_up(view, query)
        if found is not None:
            self._tell(view, query, found, send, stream)
        else:
            self._pass_on(view, query, outcome, send, stream)

    def _pass_on(
        self, view: View, query: Query, outcome: Outcome, send: Send, stream: bool
    ) -> None:
        kept = outcome.tail_for(query)
        tail, may_keep = kept.first(self._clock()) if isinstance(kept, Tail) else (kept, False)
        if not stream:
            if len(tail) + 2 > query.room:
                tail = wire.truncated(query, tail, query.room)
            elif may_keep:
                self._keep("relayed", view, query, kept)
        send(query.packet[:2] + tail)

    def _keep(self, kind: str, view: View, query: Query, tail: bytes | Tail) -> None:
        """Have the next packet like this one answered by the listener.

        Not those with EDNS options: cookies and padding make each of them unique.
        """
        if query.edns is None or not query.edns.has_options:
            self.caches[kind].keep(view.tails, query.packet[2:], query.name, tail)
