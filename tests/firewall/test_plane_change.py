"""The firewall changed: one transaction, all or nothing, whatever others do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.firewall.lab import NETWORKS, POLICY, SNAPSHOT, WEB, Lab
from tests.firewall.live import (
    handles,
)
from tests.support.namespaces import network_namespace
from volt_agent.errors import Invalid, KernelRefused
from volt_agent.firewall.plane import Firewall
from volt_agent.kernel.netlink import Request
from volt_agent.kernel.nft import Nft
from volt_agent.model.network import Connection
from volt_agent.model.snapshot import Change
from volt_agent.model.workload import Instance, Port

pytestmark = pytest.mark.kernel


class CountingNft(Nft):
    """The real nftables; counts its transactions."""

    transactions = 0

    async def run(self, text: str) -> None:
        self.transactions += 1
        await super().run(text)

    async def change_elements(self, requests: Sequence[Request]) -> None:
        self.transactions += 1
        await super().change_elements(requests)


@pytest.fixture
def counting(clean: Lab) -> Iterator[CountingNft]:
    nft = CountingNft()
    with network_namespace(Path(clean.path("host"))):
        clean.run(nft.listing("inet", "volt"))
    clean.firewall = Firewall(nft, clean.bus)
    clean.run(clean.firewall.start(SNAPSHOT))
    clean.snapshot = SNAPSHOT
    clean.change(POLICY)
    yield nft
    clean.run(nft.close())


def test_a_change_is_one_transaction_and_no_change_is_none(
    clean: Lab, counting: CountingNft
) -> None:
    """Start and stop of a workload, or the same again, touch the kernel not at all."""
    counting.transactions = 0
    running = Instance(name="web", kind="container", runtime="netns", identity="1")
    port = Port("default", "web", "vc-web", ifindex=9, up=True, made=True)
    for each in (running, port, WEB, NETWORKS[0], POLICY):
        clean.change(each)
    assert counting.transactions == 0
    clean.change(replace(WEB, address=IPv4Address("10.0.0.7")), replace(POLICY, ping=True))
    assert counting.transactions == 1


def test_many_changes_at_once(clean: Lab) -> None:
    """Half a thousand connections, added and taken away in one transaction each."""
    clean.load(SNAPSHOT)
    many = [replace(WEB, workload=f"w{number}", interface=f"vc-w{number}") for number in range(500)]
    clean.change(*many)
    assert clean.run(clean.firewall.verify())
    clean.run(clean.firewall.apply(SNAPSHOT, Change(delete=tuple(many))))
    assert clean.run(clean.firewall.verify())


def test_refused_change_leaves_everything_as_it_was(clean: Lab) -> None:
    """The part of it that was in order too; and the next change goes through."""
    clean.load(SNAPSHOT)
    before = handles(clean)
    for bad, error in (
        (replace(WEB, workload="bad", interface="vc-bad", mac="no MAC"), KernelRefused),
        (replace(WEB, workload="bad", interface='vc-"'), Invalid),
    ):
        change = Change(put=(replace(POLICY, ping=True), bad))
        with pytest.raises(error):
            clean.run(clean.firewall.apply(SNAPSHOT.apply(change), change))
        assert handles(clean) == before
    good: Connection = replace(WEB, workload="good", interface="vc-good")
    clean.change(good)
    assert '"vc-good"' in handles(clean)
    assert clean.run(clean.firewall.verify())


def test_change_after_somebody_took_an_element_away(clean: Lab) -> None:
    """The kernel refuses to delete what is gone; volt loads its ruleset and tries again."""
    clean.load(SNAPSHOT)
    clean.sh("host", "nft", 'delete element bridge volt bound-ports { "vc-web" }')
    change = Change(delete=(WEB,))
    clean.run(clean.firewall.apply(SNAPSHOT.apply(change), change))
    assert clean.run(clean.firewall.verify())


def test_cancelled_change_is_whole(clean: Lab) -> None:
    """A caller that gives up leaves kernel and agent in agreement."""
    clean.load(SNAPSHOT)

    async def give_up(change: Change) -> None:
        task = asyncio.ensure_future(clean.firewall.apply(clean.snapshot.apply(change), change))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clean.run(give_up(Change(put=(replace(WEB, workload="x", interface="vc-x"),))))
    assert clean.run(clean.firewall.verify())
    assert '"vc-x"' in handles(clean)


def test_changes_go_through_while_others_change_their_tables(clean: Lab) -> None:
    """Docker and friends work in their own tables at the same time."""
    clean.load(SNAPSHOT)
    clean.sh("host", "nft", "add table ip docker")

    async def both() -> None:
        script = "for i in $(seq 50); do nft add chain ip docker c$i; done"
        command = ["nsenter", f"--net={clean.path('host')}", "sh", "-c", script]
        other = await asyncio.create_subprocess_exec(*command)
        snapshot = SNAPSHOT
        while other.returncode is None:
            ping = replace(POLICY, ping=not snapshot.host.ping)
            change = Change(put=(ping,))
            snapshot = snapshot.apply(change)
            await clean.firewall.apply(snapshot, change)
            await asyncio.sleep(0)

    clean.run(both())
    assert clean.run(clean.firewall.verify())
