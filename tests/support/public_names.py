"""A program: the public DNS of a test, `python -m tests.support.public_names ADDRESS:PORT HOST`.

Every name has the IPv4 address HOST and no CAA record, but for what its first label says: see
`ANSWERS`. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from dnslib import CAA, QTYPE, RCODE, RR, A, DNSRecord

ELSEWHERE = "203.0.113.9"

Answer = Callable[[DNSRecord, DNSRecord, str], None]


def usual(query: DNSRecord, reply: DNSRecord, host: str) -> None:
    if query.q.qtype == QTYPE.A:
        reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=1, rdata=A(host)))


def elsewhere(query: DNSRecord, reply: DNSRecord, _host: str) -> None:
    usual(query, reply, ELSEWHERE)


def missing(_query: DNSRecord, reply: DNSRecord, _host: str) -> None:
    reply.header.rcode = RCODE.NXDOMAIN


def broken(_query: DNSRecord, reply: DNSRecord, _host: str) -> None:
    reply.header.rcode = RCODE.SERVFAIL


def empty(_query: DNSRecord, _reply: DNSRecord, _host: str) -> None:
    """The name is there, without addresses."""


def forbidden(query: DNSRecord, reply: DNSRecord, host: str) -> None:
    usual(query, reply, host)
    if query.q.qtype == QTYPE.CAA:
        rule = CAA(0, "issue", ";")  # nobody may
        reply.add_answer(RR(query.q.qname, QTYPE.CAA, ttl=1, rdata=rule))


ANSWERS: dict[str, Answer] = {
    "elsewhere": elsewhere,
    "missing": missing,
    "broken": broken,
    "empty": empty,
    "forbidden": forbidden,
}


class Server(asyncio.DatagramProtocol):
    """Answers over UDP; names that begin with `silent` are not answered."""

    def __init__(self, host: str) -> None:
        self._host = host

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = DNSRecord.parse(data)
        label = str(query.q.qname).lower().partition(".")[0]
        if label == "silent":
            return
        reply = query.reply(ra=1, aa=0)
        ANSWERS.get(label, usual)(query, reply, self._host)
        self._transport.sendto(reply.pack(), source)


async def serve(place: str, host: str) -> None:
    """Answer at `place`, ADDRESS:PORT, until standard input ends."""
    loop = asyncio.get_running_loop()
    address, _, port = place.rpartition(":")
    await loop.create_datagram_endpoint(lambda: Server(host), local_addr=(address, int(port)))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
