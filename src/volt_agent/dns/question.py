"""What is asked upstream."""

from __future__ import annotations

from msgspec import Struct

from . import wire
from .wire import Query


class Question(Struct, frozen=True, cache_hash=True, gc=False):
    """Askers with equal questions share one. `name` is in wire form and lower case."""

    name: bytes
    qtype: int
    dnssec_ok: bool
    checking_disabled: bool

    @classmethod
    def of(cls, query: Query) -> Question:
        dnssec_ok = query.edns is not None and query.edns.dnssec_ok
        return cls(query.name, query.qtype, dnssec_ok, bool(query.flags & wire.CD))

    def packet(self, ident: bytes, section: bytes, edns: bool = True) -> bytes:
        """The query to send; `section` is the question with its letters mixed.

        AD is set so that the server tells whether it validated (RFC 6840, section 5.7). Options of
        the asker, such as his subnet (RFC 7871), stay here.
        """
        flags = wire.AD | (wire.CD if self.checking_disabled else 0)
        return wire.query_packet(ident, section, flags, self.dnssec_ok, edns)

    def section(self, entropy: bytes) -> bytes:
        """The question section; `entropy` (as long as the name) chooses the case of its letters."""
        return wire.question_of(wire.mix_case(self.name, entropy), self.qtype)
