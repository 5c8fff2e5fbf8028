"""The firewall tampered with, and removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.firewall.lab import CACHE, SNAPSHOT, Lab
from tests.firewall.live import (
    HOST,
    OUTSIDE,
    WITHIN,
    Session,
    can_connect,
    handles,
)
from tests.support.namespaces import network_namespace
from volt_agent.events import Repaired, RulesetTampered
from volt_agent.kernel.tamper import TamperWatch
from volt_agent.model.host import HostPolicy
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel


def test_flushed_ruleset_is_restored(clean: Lab) -> None:
    """With its rules, and with the streams that are not translated."""
    repaired: list[Repaired] = []
    clean.bus.subscribe(Repaired, repaired.append)
    clean.load(SNAPSHOT)
    with (
        Session(clean, "web", "app", "10.0.0.6", 80) as bridged,
        Session(clean, "outside", "host", HOST, 22) as inbound,
        Session(clean, "host", "outside", OUTSIDE, 80) as outbound,
    ):
        clean.sh("host", "nft", "flush", "ruleset")
        assert bridged.download()
        clean.run(clean.firewall.repair(RulesetTampered(by="nft")))
        for each in (bridged, inbound, outbound):
            assert each.download()
            assert each.upload()
    assert clean.run(clean.firewall.verify())
    assert not can_connect(clean, "web", str(CACHE.address), 80, within=0.1)
    assert [each.what for each in repaired] == ["firewall ruleset"]


def test_false_alarm_restores_nothing(clean: Lab) -> None:
    """Where notifications were lost, the ruleset is compared first."""
    clean.load(SNAPSHOT)
    before = handles(clean)
    clean.run(clean.firewall.repair(RulesetTampered(by="")))
    assert handles(clean) == before
    clean.sh("host", "nft", "insert rule inet volt decide accept")
    clean.run(clean.firewall.repair(RulesetTampered(by="")))
    assert clean.run(clean.firewall.verify())


def test_many_foreign_changes_are_repaired_together(clean: Lab) -> None:
    """Events that wait while a restoration begins are covered by it."""
    repaired: list[Repaired] = []
    clean.bus.subscribe(Repaired, repaired.append)
    clean.load(SNAPSHOT)
    clean.sh("host", "nft", "flush", "ruleset")

    async def repair_all() -> None:
        tampered = RulesetTampered(by="nft")
        await asyncio.gather(*(clean.firewall.repair(tampered) for _ in range(100)))

    clean.run(repair_all())
    assert 1 <= len(repaired) <= 2
    assert clean.run(clean.firewall.verify())


@pytest.mark.parametrize(
    "command", ["flush ruleset", "delete table bridge volt", "insert rule inet volt decide accept"]
)
def test_watched_ruleset_is_repaired_at_once(clean: Lab, command: str) -> None:
    """From the foreign command to volt's ruleset it takes some 10 ms, on an idle machine."""
    clean.load(SNAPSHOT)

    async def tamper() -> Repaired:
        bus, feed = clean.bus, clean.bus.feed(Repaired)
        tasks: list[asyncio.Future[None]] = []
        bus.subscribe(
            RulesetTampered,
            lambda event: tasks.append(asyncio.ensure_future(clean.firewall.repair(event))),
        )
        watch = TamperWatch(bus, clean.nft.comm, (("inet", "volt"), ("bridge", "volt")))
        with network_namespace(Path(clean.path("host"))):
            watch.start()
        try:
            clean.sh("host", "nft", "-f", "-", given=command)
            async with asyncio.timeout(WITHIN):
                repaired = await anext(aiter(feed))
            await asyncio.gather(*tasks)
        finally:
            watch.close()
            feed.close()
        assert isinstance(repaired, Repaired)
        return repaired

    assert clean.run(tamper()).effective_ms < 10_000
    assert clean.run(clean.firewall.verify())


def test_remove_leaves_the_tables_of_others(clean: Lab) -> None:
    """Also one of the same name in another family."""
    clean.load(SNAPSHOT)
    for table in ("ip docker", "ip volt", "inet firewalld"):
        clean.sh("host", "nft", f"add table {table}")
    clean.run(clean.firewall.remove())
    assert clean.sh("host", "nft", "list", "tables").split("\n")[:-1] == [
        "table ip docker",
        "table ip volt",
        "table inet firewalld",
    ]
    assert clean.run(clean.firewall.counters()) == ()


def test_host_policy_allow_leaves_the_host_alone(clean: Lab) -> None:
    """Nothing to settle, nothing closed."""
    clean.load(SNAPSHOT.apply(Change(put=(HostPolicy(inbound="allow"),))))
    with Session(clean, "outside", "host", HOST, 9000) as session:
        assert session.upload()
    assert clean.drops()["host-closed"] == 0
