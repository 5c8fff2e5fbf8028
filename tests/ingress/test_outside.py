"""Outside host names, by a real resolver from a small name server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import cast

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from volt_agent.ingress import outside
from volt_agent.ingress.outside import OutsideNames

WITHIN = 60.0


class Zone(asyncio.DatagramProtocol):
    """Answers with `records` (name -> addresses and TTL); not at all while `is_silent`."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[list[str], int]] = {}
        self.is_silent = False
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = DNSRecord.parse(data)
        name = str(query.q.qname).rstrip(".")
        self.asked.append(name)
        if self.is_silent:
            return
        reply = query.reply()
        if name not in self.records:
            reply.header.rcode = RCODE.NXDOMAIN
        elif query.q.qtype == QTYPE.A:
            addresses, ttl = self.records[name]
            reply.add_answer(*(RR(name, rdata=A(each), ttl=ttl) for each in addresses))
        self.transport.sendto(reply.pack(), addr)


@asynccontextmanager
async def names(zone: Zone) -> AsyncIterator[OutsideNames]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: zone, ("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    made = OutsideNames(lambda _host: None)
    made.configure([f"{host}:{port}"])
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        transport.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "TTL_MIN", 0.05)
    monkeypatch.setattr(outside, "RETRY", 0.05)
    monkeypatch.setattr(outside, "_TIMEOUT", 0.1)


def test_all_addresses_of_a_name_are_known() -> None:
    """Sorted, so that a rotation is no change; the search domains of the host have no say."""

    async def test() -> None:
        zone = Zone()
        zone.records["cdn.example"] = (["192.0.2.9", "192.0.2.1"], 60)
        async with names(zone) as made:
            made.want({"cdn.example"})
            await until(lambda: made.addresses)
            assert made.addresses == {"cdn.example": ("192.0.2.1", "192.0.2.9")}
            assert set(zone.asked) == {"cdn.example"}

    run(test)


def test_a_name_is_asked_for_again_when_its_time_is_over() -> None:
    """And not before; who uses it is told."""

    async def test() -> None:
        zone, seen = Zone(), list[str]()
        zone.records["a.example"] = (["192.0.2.1"], 0)
        zone.records["b.example"] = (["192.0.2.1"], 300)
        async with names(zone) as made:
            made._on_change = seen.append
            made.want({"a.example", "b.example"})
            await until(lambda: len(made.addresses) == 2)
            zone.records["a.example"] = zone.records["b.example"] = (["192.0.2.2"], 300)
            await until(lambda: made.addresses["a.example"] == ("192.0.2.2",))
            assert made.addresses["b.example"] == ("192.0.2.1",)
        assert sorted(seen) == ["a.example", "a.example", "b.example"]

    run(test)


def test_the_last_addresses_survive_a_failure_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the server, or of the name."""
    monkeypatch.setattr(outside, "STALE_MAX", 0.5)

    async def test() -> None:
        zone = Zone()
        zone.records["a.example"] = zone.records["b.example"] = (["192.0.2.1"], 0)
        async with names(zone) as made:
            made.want({"a.example", "b.example"})
            await until(lambda: len(made.addresses) == 2)
            del zone.records["a.example"]
            count = len(zone.asked)
            await until(lambda: len(zone.asked) >= count + 4)
            assert made.addresses["a.example"] == ("192.0.2.1",)
            zone.is_silent = True
            await until(lambda: made.addresses == {"a.example": (), "b.example": ()})

    run(test)


def test_names_come_and_go() -> None:
    """What nobody wants any more is forgotten, and not asked for."""

    async def test() -> None:
        zone = Zone()
        zone.records.update({f"{each}.example": (["192.0.2.1"], 0) for each in range(100)})
        async with names(zone) as made:
            made.want(set(zone.records))
            await until(lambda: len(made.addresses) == 100)
            made.want({"1.example"})
            await until(lambda: list(made.addresses) == ["1.example"])
            # What was on its way still comes, and may be asked a second time.
            await until(lambda: set(zone.asked[-10:]) == {"1.example"})
            assert list(made.addresses) == ["1.example"]

    run(test)


def test_a_silent_server_does_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names there are."""
    monkeypatch.setattr(outside, "_TIMEOUT", WITHIN)

    async def test() -> None:
        zone, gaps = Zone(), []
        zone.is_silent = True
        async with names(zone) as made:
            made.want({f"{each}.example" for each in range(200)})
            while len(zone.asked) < outside.AT_ONCE:
                started = time.monotonic()
                await asyncio.sleep(0)
                gaps.append(time.monotonic() - started)
            assert max(gaps) < WITHIN / 2
            assert made.addresses == {}

    run(test)
