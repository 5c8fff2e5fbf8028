"""A small world to ask about, and the shortest way to ask.

frontend 10.20.0.0/24   web .2
backend  10.30.0.0/24   web .2, db .5, down .6 (its port is down), quiet .7 (no address yet)
internal 10.50.0.0/24   vault .9; no way out
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from dnslib import QTYPE, DNSQuestion, DNSRecord

from volt_agent.dns.counters import Counters
from volt_agent.dns.forward import Forwarder
from volt_agent.dns.responder import Responder
from volt_agent.dns.settings import DnsSettings
from volt_agent.dns.view import View
from volt_agent.model.network import Connection, Network
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Port

T = TypeVar("T")

GATEWAY = "10.30.0.1"
SETTINGS = DnsSettings(search_domains=("volt.local", "corp.example"))


def network(name: str, subnet: str, nat: bool = True) -> Network:
    reach = IPv4Network(subnet)
    return Network(name, f"volt-{name}", reach, reach.network_address + 1, 1500, nat)


def connection(where: str, workload: str, address: str, slot: int = 0) -> Connection:
    mac = f"02:00:00:00:00:{IPv4Address(address).packed[3]:02x}"
    interface = f"vc-{workload}"
    return Connection(where, workload, "container", IPv4Address(address), mac, interface, slot)


def port(where: str, workload: str, address: str | None, up: bool = True) -> Port:
    known = IPv4Address(address) if address else None
    return Port(where, workload, f"vc-{workload}", 7, up, address=known)


def attached(where: str, workload: str, address: str, slot: int = 0) -> tuple[Object, ...]:
    """A workload that runs: its connection and its port."""
    return connection(where, workload, address, slot), port(where, workload, address)


FRONTEND = network("frontend", "10.20.0.0/24")
BACKEND = network("backend", "10.30.0.0/24")
INTERNAL = network("internal", "10.50.0.0/24", nat=False)
WORLD = Snapshot().apply(
    Change(
        put=(
            FRONTEND,
            BACKEND,
            INTERNAL,
            *attached("frontend", "web", "10.20.0.2"),
            *attached("backend", "web", "10.30.0.2", slot=1),
            *attached("backend", "db", "10.30.0.5"),
            connection("backend", "down", "10.30.0.6"),
            port("backend", "down", "10.30.0.6", up=False),
            connection("backend", "quiet", "10.30.0.7"),
            port("backend", "quiet", None),
            *attached("internal", "vault", "10.50.0.9"),
        )
    )
)


def packet(name: str, qtype: str = "A", **header: int) -> bytes:
    """A query without EDNS; `header` sets bits of dnslib's header (rd, cd, ad, opcode, ...)."""
    query = DNSRecord(q=DNSQuestion(name, getattr(QTYPE, qtype)))
    query.header.id, query.header.rd = 0x1234, 1
    for key, value in header.items():
        setattr(query.header, key, value)
    return bytes(query.pack())


def with_opt(
    query: bytes, size: int = 1232, version: int = 0, do: bool = False, options: bytes = b""
) -> bytes:
    """`query` with one more additional record: OPT."""
    flags = b"\x80\0" if do else b"\0\0"
    sized = size.to_bytes(2, "big") + bytes([0, version]) + flags
    record = b"\0\0\x29" + sized + len(options).to_bytes(2, "big") + options
    return query[:11] + bytes([query[11] + 1]) + query[12:] + record


class Desk:
    """A responder without sockets: packets in, replies out."""

    def __init__(
        self, snapshot: Snapshot = WORLD, settings: DnsSettings = SETTINGS, at: str = "backend"
    ) -> None:
        self.counters = Counters()
        self.now = 1000.0
        self.forwarder = Forwarder(settings, self.counters, self.clock)
        self.responder = Responder(settings, self.forwarder, self.counters, self.clock)
        self.responder.start(snapshot)
        self.at = at
        finish_later(self.forwarder)

    def clock(self) -> float:
        return self.now

    def view(self, source: str = GATEWAY) -> View:
        return self.responder.view_of(self.responder.snapshot.networks[self.at], source)

    def ask(self, query: bytes, source: str = GATEWAY, stream: bool = False) -> bytes | None:
        """The reply, as a listener would give it: from the finished tails, or else made now."""
        ready = self.view(source).tails.get(query[2:])
        if isinstance(ready, bytes) and not stream:
            return query[:2] + ready
        replies: list[bytes] = []
        answered = self.responder.respond(self.view(source), query, source, replies.append, stream)
        assert answered == bool(replies)
        return replies[0] if replies else None

    def tell(self, query: bytes, source: str = GATEWAY, stream: bool = False) -> DNSRecord:
        reply = self.ask(query, source, stream)
        assert reply is not None
        return DNSRecord.parse(reply)

    def rcode(self, query: bytes, source: str = GATEWAY) -> int:
        return int(self.tell(query, source).header.rcode)

    def addresses(self, name: str, source: str = GATEWAY) -> list[str]:
        return [str(each.rdata) for each in self.tell(packet(name), source).rr]

    def commit(self, *put: Object, delete: tuple[Object, ...] = ()) -> int:
        """Go on to the next snapshot; returns what `follow` does."""
        old = self.responder.snapshot
        change = Change(put=put, delete=delete)
        return self.responder.follow(old, old.apply(change), change)


_FORWARDERS: list[Forwarder] = []


def finish_later(forwarder: Forwarder) -> None:
    """Have `run` close what a forwarder of the test leaves open."""
    _FORWARDERS.append(forwarder)


def run(work: Coroutine[Any, Any, T], limit: float = 120.0) -> T:
    """Run a coroutine to its end, which has to come, and finish the test's forwarders."""

    async def tidily() -> T:
        try:
            return await asyncio.wait_for(work, limit)
        finally:
            while _FORWARDERS:
                await _FORWARDERS.pop().finish(0)

    return asyncio.run(tidily())


async def until(condition: Any, limit: float = 60.0) -> None:
    """Wait for a condition; looks every few milliseconds."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)
