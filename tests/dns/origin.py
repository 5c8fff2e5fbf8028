"""A real little upstream server on loopback, which does what the test wants of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from dnslib import QTYPE, RR, A, DNSRecord

from tests.support.ports import closed_address

# What a server makes of a query: the packets that it sends back, in order.
Behaviour = Callable[[bytes], Iterable[bytes]]


def answer(query: bytes, address: str = "192.0.2.1", ttl: int = 60) -> bytes:
    """An honest answer."""
    asked = DNSRecord.parse(query)
    reply = asked.reply(ra=1, aa=0)
    reply.add_answer(RR(asked.q.qname, QTYPE.A, ttl=ttl, rdata=A(address)))
    return bytes(reply.pack())


def failure(query: bytes, rcode: int = 2) -> bytes:
    reply = DNSRecord.parse(query).reply(ra=1, aa=0)
    reply.header.rcode = rcode
    return bytes(reply.pack())


def truncated(query: bytes) -> bytes:
    reply = DNSRecord.parse(query).reply(ra=1, aa=0)
    reply.header.tc = 1
    return bytes(reply.pack())


def honest(query: bytes) -> Iterable[bytes]:
    return [answer(query)]


def silent(_query: bytes) -> Iterable[bytes]:
    return []


class Origin:
    """An upstream server. `over_udp` and `over_tcp` remember what was asked."""

    def __init__(self, udp: Behaviour, tcp: Behaviour) -> None:
        self._udp = udp
        self._tcp = tcp
        self.over_udp: list[bytes] = []
        self.over_tcp: list[bytes] = []
        self.sources: list[int] = []
        self.address = ("127.0.0.1", 0)
        self.socket: socket.socket | None = None  # over UDP
        self.held = asyncio.Event()  # set: replies go out
        self.held.set()
        self.delay = 0.0  # seconds before a reply over UDP
        self.honest = True  # for behaviours that look at it
        self.pass_on: Callable[[bytes], None] = lambda _: None  # is told every query over UDP

    @property
    def names(self) -> list[str]:
        """What was asked over UDP, in the case in which it came."""
        return [str(DNSRecord.parse(each).q.qname) for each in self.over_udp]

    async def serve_udp(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            query, source = await loop.sock_recvfrom(sock, 4096)
            self.over_udp.append(query)
            self.sources.append(source[1])
            self.pass_on(query)
            await self.held.wait()
            if self.delay:
                loop.call_later(self.delay, self._reply, sock, query, source)
                continue
            for reply in self._udp(query):
                await loop.sock_sendto(sock, reply, source)

    def _reply(self, sock: socket.socket, query: bytes, source: tuple[str, int]) -> None:
        for reply in self._udp(query):
            with suppress(OSError):  # the test may be over
                sock.sendto(reply, source)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        query = await reader.readexactly(length)
        self.over_tcp.append(query)
        for reply in self._tcp(query):
            writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def origin(udp: Behaviour = honest, tcp: Behaviour = honest) -> AsyncIterator[Origin]:
    """Serve UDP and TCP on one free port of loopback while the block runs."""
    made = Origin(udp, tcp)
    # TCP first: of its ports many are in use, or have just been.
    server = await asyncio.start_server(made.serve_tcp, "127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(server.sockets[0].getsockname())
        made.address, made.socket = sock.getsockname(), sock
        task = asyncio.create_task(made.serve_udp(sock))
        try:
            yield made
        finally:
            task.cancel()
            server.close()
            await server.wait_closed()


def dead_port() -> tuple[str, int]:
    """An address where nobody listens: the kernel says so at once."""
    return closed_address()
