"""What the operator is told."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import pytest

from volt_agent.dns.server import DnsExplanation, DnsSettings, NameServer
from volt_agent.errors import Invalid, Refused
from volt_agent.model.snapshot import Snapshot
from volt_agent.service import ServiceManager

from .origin import origin, silent
from .world import SETTINGS, WORLD, run

DB, WEB, VAULT = (IPv4Address(each) for each in ("10.30.0.5", "10.30.0.2", "10.50.0.9"))


def server(settings: DnsSettings = SETTINGS, snapshot: Snapshot = WORLD) -> NameServer:
    made = NameServer(settings, ServiceManager({}))
    made.start(snapshot)
    return made


def explained(
    name: str, qtype: str = "A", asking: IPv4Address | None = None, settings: DnsSettings = SETTINGS
) -> DnsExplanation:
    async def main() -> DnsExplanation:
        return await server(settings).query(name, qtype, asking)

    return run(main())


@pytest.mark.parametrize(
    ("name", "qtype", "asking", "source", "status", "data"),
    [
        ("web", "A", None, "local", "NOERROR", ["10.30.0.2", "10.20.0.2"]),
        ("web", "a", DB, "local", "NOERROR", ["10.30.0.2"]),
        ("web.volt.local.", "A", WEB, "local", "NOERROR", ["10.30.0.2", "10.20.0.2"]),
        ("vault", "A", DB, "local", "NXDOMAIN", []),
        ("db", "AAAA", DB, "local", "NOERROR", []),
        ("db", "TYPE65", DB, "local", "NOERROR", []),
        ("10.30.0.5", "PTR", WEB, "local", "NOERROR", ["db.volt.local."]),
        ("example.com", "A", DB, "forwarded", "SERVFAIL", []),
        ("example.com", "A", VAULT, "refused", "REFUSED", []),
        ("volt.local", "AXFR", DB, "refused", "REFUSED", []),
    ],
)
def test_what_an_asker_would_be_told(
    name: str, qtype: str, asking: IPv4Address | None, source: str, status: str, data: list[str]
) -> None:
    """The same as on the wire. (There is no upstream server here.)"""
    told = explained(name, qtype, asking)
    assert (told.source, told.status) == (source, status)
    assert [each.data for each in told.answers] == data
    assert told.reason


@pytest.mark.parametrize(
    ("asking", "view"),
    [
        (None, ("backend", "frontend", "internal")),
        (DB, ("backend",)),
        (WEB, ("backend", "frontend")),
        (IPv4Address("10.30.0.99"), ("backend",)),
    ],
)
def test_the_view_is_named(asking: IPv4Address | None, view: tuple[str, ...]) -> None:
    """The networks whose names the asker sees, in order."""
    told = explained("db", asking=asking)
    assert (told.view, told.asker) == (view, str(asking or "host"))


@pytest.mark.parametrize(
    ("name", "asking", "reason"),
    [
        ("db", DB, "one of volt's names, as seen by backend"),
        ("nobody", DB, "nothing that is up has this name, as seen by backend"),
        ("example.com", VAULT, "no network of the asker has a way out"),
        ("example.com", DB, "no upstream server gave an answer"),
        ("printer.local", DB, "local is reserved for special use (RFC 6762)"),
        ("x.localhost", DB, "always the asker itself"),
    ],
)
def test_the_reason_is_given(name: str, asking: IPv4Address, reason: str) -> None:
    """One sentence."""
    assert reason in explained(name, asking=asking).reason


def test_a_forwarded_answer_is_shown() -> None:
    """With its records and TTLs."""

    async def main() -> DnsExplanation:
        async with origin() as upstream:
            settings = DnsSettings(upstreams=(upstream.address,))
            names = server(settings)
            told = await names.query("www.example.com", "A", DB)
            await names.close()
            return told

    told = run(main())
    (record,) = told.answers
    assert (told.source, told.reason) == ("forwarded", "not one of volt's names: asked upstream")
    assert (record.name, record.type, record.ttl, record.data) == (
        "www.example.com",
        "A",
        60,
        "192.0.2.1",
    )


def test_an_operator_who_goes_away_harms_nobody() -> None:
    """His question is answered into the void."""

    async def main() -> None:
        async with origin(udp=silent) as upstream:
            settings = DnsSettings(upstreams=(upstream.address,), give_up_after=0.1)
            names = server(settings)
            with pytest.raises(TimeoutError):
                await wait_briefly(names)
            await names.close()

    run(main())


async def wait_briefly(names: NameServer) -> None:
    await asyncio.wait_for(names.query("www.example.com", "A", None), 0.02)


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("a" * 64, "A"),
        ("a..b", "A"),
        ("", "A"),
        (" ", "A"),
        ("db", "NONSENSE"),
        ("db", "TYPE70000"),
    ],
)
def test_bad_questions_are_refused(name: str, qtype: str) -> None:
    """Before they are asked."""
    with pytest.raises(Invalid):
        explained(name, qtype)


def test_an_address_elsewhere_cannot_ask() -> None:
    """It is on none of our networks; and without networks nobody can."""
    with pytest.raises(Refused):
        explained("db", asking=IPv4Address("192.0.2.1"))

    async def main() -> None:
        await server(snapshot=Snapshot()).query("db", "A", None)

    with pytest.raises(Refused):
        run(main())


def test_entries_are_the_names_that_there_are() -> None:
    """A row for each workload and network; none for ports that are down or have no address."""
    rows = [
        (each.name, each.type, each.address, each.network, each.workload)
        for each in server().entries(WORLD)
    ]
    assert rows == [
        ("db.volt.local", "A", "10.30.0.5", "backend", "db"),
        ("vault.volt.local", "A", "10.50.0.9", "internal", "vault"),
        ("web.volt.local", "A", "10.30.0.2", "backend", "web"),
        ("web.volt.local", "A", "10.20.0.2", "frontend", "web"),
    ]


def test_flush_says_how_much_there_was() -> None:
    """Finished replies and remembered ones."""

    async def main() -> None:
        async with origin() as upstream:
            names = server(DnsSettings(upstreams=(upstream.address,)))
            await names.query("www.example.com", "A", None)
            assert (names.flush(), names.flush()) == (1, 0)
            await names.close()

    run(main())


def test_other_settings_take_effect_at_once() -> None:
    """Search domains and upstream servers; a mistake changes nothing."""

    async def main() -> None:
        async with origin() as first, origin() as second:
            names = server(DnsSettings(upstreams=(first.address,)))
            assert (await names.query("db.lab.example", "A", DB)).source == "forwarded"
            names.configure(
                DnsSettings(upstreams=(second.address,), search_domains=("lab.example",))
            )
            assert (await names.query("db.lab.example", "A", DB)).source == "local"
            with pytest.raises(Invalid):
                names.configure(DnsSettings(search_domains=("a..b",)))
            await names.query("db.corp.example", "A", DB)
            assert (len(first.over_udp), len(second.over_udp)) == (1, 1)
            await names.close()

    run(main())
