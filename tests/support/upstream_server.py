"""A program: a DNS server outside: `python -m tests.support.upstream_server ADDRESS`.

What it does with a question, the first label of the name says (before a hyphen): see BEHAVIOURS;
anything else is answered honestly, with 198.51.100.7. It logs each question over UDP to stdout, and
ends with its standard input.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from dnslib import AAAA, NS, QTYPE, RR, A, DNSRecord

HONEST = "198.51.100.7"
POISON = "203.0.113.66"
SLOW = 0.7
_STRAYS = 6


def answer(query: DNSRecord, address: str = HONEST) -> DNSRecord:
    reply = query.reply(ra=1, aa=0)
    if query.q.qtype == QTYPE.A:
        reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=1, rdata=A(address)))
    elif query.q.qtype == QTYPE.AAAA:
        reply.add_answer(RR(query.q.qname, QTYPE.AAAA, ttl=1, rdata=AAAA("2001:db8:7::1")))
    return reply


def dead(_query: DNSRecord) -> Iterable[bytes]:
    return ()


def wrong_id(query: DNSRecord) -> Iterable[bytes]:
    forged = answer(query, POISON).pack()
    for number in range(_STRAYS):
        yield bytes([forged[0] ^ (number + 1)]) + forged[1:]


def wrong_question(query: DNSRecord) -> Iterable[bytes]:
    forged = bytearray(answer(query, POISON).pack())
    forged[13] ^= 1
    yield bytes(forged)


def truncated(query: DNSRecord) -> Iterable[bytes]:
    reply = query.reply(ra=1, aa=0)
    reply.header.tc = 1
    yield reply.pack()


def poisoned(query: DNSRecord) -> Iterable[bytes]:
    reply = answer(query)
    reply.add_answer(RR("bank.example", QTYPE.A, ttl=3600, rdata=A(POISON)))
    reply.add_auth(RR("example", QTYPE.NS, ttl=3600, rdata=NS("ns.evil.example")))
    reply.add_ar(RR("ns.evil.example", QTYPE.A, ttl=3600, rdata=A(POISON)))
    yield reply.pack()


def inward(query: DNSRecord) -> Iterable[bytes]:
    yield answer(query, "127.0.0.1").pack()


def failing(query: DNSRecord) -> Iterable[bytes]:
    reply = query.reply(ra=1, aa=0)
    reply.header.rcode = 2
    yield reply.pack()


def honest(query: DNSRecord) -> Iterable[bytes]:
    yield answer(query).pack()


BEHAVIOURS: dict[str, Callable[[DNSRecord], Iterable[bytes]]] = {
    "dead": dead,
    "wrongid": wrong_id,
    "wrongquestion": wrong_question,
    "wrongsource": honest,  # but see `_Udp`
    "truncated": truncated,
    "poisoned": poisoned,
    "inward": inward,
    "failing": failing,
}


class _Udp(asyncio.DatagramProtocol):
    """Answers over UDP; who asks for a wrong source is answered from another port."""

    def __init__(self, address: str) -> None:
        self._elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._elsewhere.bind((address, 0))

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = DNSRecord.parse(data)
        name = str(query.q.qname).lower()
        print(name, flush=True)
        kind = name.split("-", 1)[0].split(".", 1)[0]
        delay = SLOW if kind == "slow" else 0.0
        asyncio.get_running_loop().call_later(delay, self._answer, kind, query, source)

    def _answer(self, kind: str, query: DNSRecord, source: tuple[str, int]) -> None:
        for packet in BEHAVIOURS.get(kind, honest)(query):
            if kind == "wrongsource":
                self._elsewhere.sendto(packet, source)
            else:
                self._transport.sendto(packet, source)


async def serve(address: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Udp(address), local_addr=(address, 53))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
