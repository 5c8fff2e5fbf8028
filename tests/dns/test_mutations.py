"""Whatever arrives: no exception, no reply to a reply, every reply parses, no memory kept."""

from __future__ import annotations

import gc
import struct
from itertools import islice
from random import Random

import dns.exception
import dns.flags
import dns.message
import dns.name
import pytest

from volt_agent.dns import wire
from volt_agent.dns.wire import Malformed

from .mutations import SEEDS, mutated
from .world import Desk

CI, LONG = 20_000, 1_000_000
GROWTH = 4_000_000  # octets; a leak of ten for each packet of the long run would be more


@pytest.mark.parametrize("count", [CI, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
def test_mutated_packets(count: int, stream: bool) -> None:
    """Each is answered with what can be read, or not at all."""
    desk, packets = Desk(), mutated(Random(count + stream))
    for packet in islice(packets, count // 2):  # the caches fill up
        check(desk, packet, stream)
    before = resident()
    for packet in islice(packets, count - count // 2):
        check(desk, packet, stream)
    assert resident() - before < GROWTH
    assert desk.counters.dropped > count / 100
    assert desk.counters.malformed > count / 10
    assert desk.counters.local + desk.counters.cached > count / 100


def resident() -> int:
    """Octets of memory that this process has."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def check(desk: Desk, packet: bytes, stream: bool) -> None:
    reply = desk.ask(packet, stream=stream)
    if len(packet) < 12 or packet[2] & 0x80:
        assert reply is None, packet.hex()
        return
    assert reply is not None, packet.hex()
    assert reply[:2] == packet[:2]
    assert reply[2] & 0x80
    assert (reply[2] ^ packet[2]) & 0x78 == 0
    try:
        dns.message.from_wire(reply)
    except dns.exception.DNSException as error:
        raise AssertionError(f"{packet.hex()} -> {reply.hex()}: {error!r}") from error


@pytest.mark.parametrize("count", [CI, pytest.param(LONG, marks=pytest.mark.long)])
def test_our_reader_agrees_with_dnspython(count: int) -> None:
    """What it takes for a query, dnspython reads in the same way; what it refuses has a fault."""
    agreed = 0
    for packet in (*SEEDS, *islice(mutated(Random(7)), count)):
        if not wire.may_be_answered(packet) or packet[2] & 0x78:
            continue
        try:
            query = wire.read_query(packet)
        except Malformed:
            assert not is_plain_query(packet), packet.hex()
        else:
            agreed += 1
            compare(query, packet)
    assert agreed > count / 20


def compare(query: wire.Query, packet: bytes) -> None:
    # dnspython also looks into options that it knows, which volt ignores: then without them.
    theirs = read(packet) or read(packet[: query.end + 9] + b"\0\0")
    assert theirs is not None, packet.hex()
    (question,) = theirs.question
    assert question.name.to_wire() == query.asked_name
    assert (question.rdtype, question.rdclass) == (query.qtype, query.qclass)
    assert (theirs.edns < 0) == (query.edns is None)
    if query.edns is not None:
        assert (theirs.edns, theirs.payload) == (query.edns.version, query.edns.size)
        assert bool(theirs.ednsflags & dns.flags.DO) == query.edns.dnssec_ok


def is_plain_query(packet: bytes) -> bool:
    """Whether dnspython sees nothing but one question without compression, and an OPT record."""
    theirs = read(packet)
    if theirs is None or len(theirs.question) != 1 or theirs.had_tsig:
        return False
    if theirs.answer or theirs.authority or theirs.additional:
        return False
    plain = theirs.question[0].name.to_wire()
    return plain is not None and packet[12 : 12 + len(plain)] == plain


def read(packet: bytes) -> dns.message.Message | None:
    """The query as dnspython reads it, where it can."""
    try:
        return dns.message.from_wire(packet)
    except (dns.exception.DNSException, struct.error, ValueError):
        return None
