"""Every check of RFC 8906, section 8: what a name server must not get wrong.

Each row is a query as the document makes it with dig, and what it expects, for the zone itself. All
are asked over UDP and TCP, of a finished answer and of a fresh one.
"""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from dns.edns import OptionType
from msgspec import Struct

from .world import Desk

ZONE = "volt.local."
SUBNET = dns.edns.ECSOption("0.0.0.0", 0)
NSID = dns.edns.GenericOption(OptionType.NSID, b"")
COOKIE = dns.edns.GenericOption(OptionType.COOKIE, b"\1\2\3\4\5\6\7\x08")
EXPIRE = dns.edns.GenericOption(OptionType(9), b"")
UNKNOWN = dns.edns.GenericOption(OptionType(100), b"")
Z = 0x0040  # the last reserved bit of the header
NO_RECURSION, RECURSION = 0, int(dns.flags.RD)


class Check(Struct, frozen=True):
    """A query; what is not said is as in `dig +norec +noedns +noad soa ZONE`."""

    section: str
    qtype: str = "SOA"
    flags: int = NO_RECURSION
    opcode: int = 0
    edns: int | None = None
    ednsflags: int = 0
    options: tuple[dns.edns.Option, ...] = ()
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR

    def __str__(self) -> str:
        return self.section

    def query(self) -> dns.message.Message:
        made = dns.message.make_query(ZONE, self.qtype, flags=self.flags)
        made.set_opcode(dns.opcode.Opcode(self.opcode))
        if self.edns is not None:
            made.use_edns(self.edns, self.ednsflags, 4096, options=list(self.options))
        return made


BAD = dns.rcode.BADVERS
CHECKS = [
    Check("8.1.1 is the server configured for the zone"),
    Check("8.1.2 unknown types", qtype="TYPE1000"),
    Check("8.1.3.1 CD=1", flags=int(dns.flags.CD)),
    Check("8.1.3.2 AD=1", flags=int(dns.flags.AD)),
    Check("8.1.3.3 reserved bit", flags=Z),
    Check("8.1.3.4 recursive queries", flags=RECURSION),
    Check("8.1.4 unknown opcodes", opcode=15, rcode=dns.rcode.NOTIMP),
    Check("8.1.5 TCP", flags=NO_RECURSION),
    Check("8.2.1 minimal EDNS", edns=0),
    Check("8.2.2 EDNS version", edns=1, rcode=BAD),
    Check("8.2.3 unknown EDNS options", edns=0, options=(UNKNOWN,)),
    Check("8.2.4 unknown EDNS flags", edns=0, ednsflags=0x40),
    Check("8.2.5 EDNS version and unknown flags", edns=1, ednsflags=0x40, rcode=BAD),
    Check("8.2.6 EDNS version and unknown options", edns=1, options=(UNKNOWN,), rcode=BAD),
    Check("8.2.7 truncated responses", qtype="DNSKEY", edns=0, ednsflags=0x8000),
    Check("8.2.8 DO=1", edns=0, ednsflags=0x8000),
    Check("8.2.9 EDNS version and DO=1", edns=1, ednsflags=0x8000, rcode=BAD),
    Check("8.2.10 several defined options", edns=0, options=(NSID, COOKIE, EXPIRE, SUBNET)),
]


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
def test_section_8(check: Check, stream: bool) -> None:
    """The answer is as expected, and just as complete the second time."""
    desk, query = Desk(), check.query()
    for _ in range(2):
        wire = desk.ask(query.to_wire(), stream=stream)
        assert wire is not None
        reply = dns.message.from_wire(wire)
        assert (reply.id, reply.opcode(), reply.rcode()) == (query.id, check.opcode, check.rcode)
        expect_sections(check, reply)
        expect_flags(check, reply)
        expect_edns(check, reply)


def expect_sections(check: Check, reply: dns.message.Message) -> None:
    """A known type has its record, an unknown one none; an error has none either."""
    if check.rcode != dns.rcode.NOERROR:
        assert (reply.answer, reply.authority) == ([], [])
        return
    types = [each.rdtype for each in reply.answer]
    assert types == ([dns.rdatatype.SOA] if check.qtype == "SOA" else [])
    assert bool(reply.authority) == (not types)


def expect_flags(check: Check, reply: dns.message.Message) -> None:
    """AA with answers alone; reserved bits and AD do not come back, RD does."""
    assert reply.flags & dns.flags.QR
    assert bool(reply.flags & dns.flags.AA) == (check.rcode == dns.rcode.NOERROR)
    assert not reply.flags & (Z | dns.flags.AD | dns.flags.TC)
    assert reply.flags & dns.flags.RD == check.flags & dns.flags.RD


def expect_edns(check: Check, reply: dns.message.Message) -> None:
    """EDNS for EDNS, in version 0, the DO bit alone, and no option that is not understood."""
    if check.opcode or check.edns is None:
        assert reply.edns == -1
        return
    assert (reply.edns, reply.options) == (0, ())
    assert reply.ednsflags & 0xFFFF == check.ednsflags & 0x8000
