"""What public DNS says of a host, asked for real."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from dnslib import AAAA, CAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord

from tests.ingress.acme.bench import on_loop
from volt_agent.ingress.acme.lookups import look_up
from volt_agent.ingress.acme.preflight import Caa, Names

LETS_ENCRYPT = CAA(0, "issue", "letsencrypt.org")
# By name: records, or the code of an answer that is none. Everything else does not exist.
ZONE: Mapping[str, Sequence[Any] | int | None] = {
    "example.com.": [LETS_ENCRYPT],
    "app.example.com.": [A("192.0.2.1"), AAAA("2001:db8::1")],
    "alias.example.com.": [CNAME("app.example.com")],
    "own.example.com.": [A("192.0.2.1"), CAA(128, "issue", ";")],
    "empty.example.com.": [],
    "broken.example.com.": RCODE.SERVFAIL,
    "silent.example.com.": None,
}
ADDRESSES = ("192.0.2.1", "2001:db8::1")
INHERITED = (Caa(0, "issue", "letsencrypt.org"),)
FOUND = {
    "app.example.com": Names(True, ADDRESSES, INHERITED, "example.com"),
    "alias.example.com": Names(True, ADDRESSES, INHERITED, "example.com"),
    "own.example.com": Names(True, ADDRESSES[:1], (Caa(128, "issue", ";"),), "own.example.com"),
    "empty.example.com": Names(True, (), INHERITED, "example.com"),
    "missing.example.com": Names(False, ()),
    "broken.example.com": Names(True, None, None),
    "silent.example.com": Names(True, None, None),
}


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, address: object) -> None:
        query = DNSRecord.parse(data)
        reply, name = query.reply(), str(query.q.qname).lower()
        found = ZONE.get(name, RCODE.NXDOMAIN)
        if found is None:
            return
        if isinstance(found, int):
            reply.header.rcode = found
        else:
            self._answer(reply, name, query.q.qtype)
        self._transport.sendto(reply.pack(), address)

    def _answer(self, reply: DNSRecord, name: str, kind: int) -> None:
        for data in ZONE.get(name, ()):  # type: ignore[union-attr]
            its = getattr(QTYPE, type(data).__name__)
            if its in (kind, QTYPE.CNAME):
                reply.add_answer(RR(name, its, ttl=1, rdata=data))
            if its == QTYPE.CNAME and kind != QTYPE.CNAME:
                self._answer(reply, str(data.label), kind)


@pytest.mark.parametrize("host", FOUND)
@on_loop
async def test_what_is_found(host: str) -> None:
    """Addresses of both kinds, and the CAA records closest to the name; what is not known is not
    taken for nothing."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        assert await look_up(host, [f"127.0.0.1:{port}"]) == FOUND[host]
    finally:
        transport.close()


@on_loop
async def test_without_servers_nothing_is_known() -> None:
    """Which is no reason against an order."""
    assert await look_up("app.example.com", []) == Names(True, None, None)
