"""The firewall on a live host: installed without cutting anything, restarted without a trace."""

from __future__ import annotations

import pytest

from tests.firewall.lab import CACHE, POLICY, SNAPSHOT, Lab
from tests.firewall.live import (
    HOST,
    OUTSIDE,
    WITHIN,
    Session,
    can_connect,
    handles,
    wait_until_dropped,
)
from volt_agent.firewall.plane import Firewall
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel


def test_installation_cuts_nothing_that_is_running(clean: Lab) -> None:
    """First the hooks, so that conntrack learns what runs; after that the deny.

    Of two sessions only one end ever speaks, so that the first packet seen of them is an answer.
    """
    with (
        Session(clean, "outside", "host", HOST, 22) as ssh,
        Session(clean, "outside", "host", HOST, 9000) as closed,
        Session(clean, "host", "outside", OUTSIDE, 80) as download,
        Session(clean, "host", "web", "10.0.0.5", 80) as from_workload,
        Session(clean, "web", "app", "10.0.0.6", 80) as neighbours,
    ):
        assert clean.run(clean.firewall.start(SNAPSHOT)) == "loaded"
        clean.snapshot = SNAPSHOT
        for round_ in ("while settling", "settled"):
            assert ssh.upload(), round_
            assert closed.download(), round_
            assert download.download(), round_
            assert from_workload.download(), round_
            assert neighbours.download(), round_
            if round_ == "while settling":
                assert can_connect(clean, "outside", HOST, 9000, WITHIN)
                clean.change(POLICY)
        assert can_connect(clean, "outside", HOST, 22, WITHIN) is True
        before = clean.drops()["host-closed"]
        assert not can_connect(clean, "outside", HOST, 9000, within=0.2)
        assert clean.drops()["host-closed"] > before


def test_without_settling_a_download_would_be_cut(clean: Lab) -> None:
    """The counter-check: to a conntrack that was not there before, it comes from nowhere."""
    with Session(clean, "host", "outside", OUTSIDE, 80) as download:
        clean.load(SNAPSHOT)
        before = clean.drops()["host-closed"]
        download.server.sendall(b"x")
        wait_until_dropped(clean, "host-closed", before)
        download.client.setblocking(False)
        with pytest.raises(BlockingIOError):
            download.client.recv(1)


def test_settling_opens_nothing_between_networks(clean: Lab) -> None:
    """The first seconds are lenient with the host's own traffic, not with workloads."""
    clean.run(clean.firewall.start(SNAPSHOT))
    assert not can_connect(clean, "web", str(CACHE.address), 80, within=0.1)
    assert not can_connect(clean, "web", HOST, 22, within=0.1)
    drops = clean.drops()
    assert drops["between-networks"] > 0
    assert drops["host-from-workload"] > 0


def test_restart_changes_nothing(clean: Lab) -> None:
    """No rule, set, element or counter is remade when the ruleset is right already."""
    clean.load(SNAPSHOT)
    assert not can_connect(clean, "web", str(CACHE.address), 80, within=0.1)
    before = handles(clean)
    assert clean.load(SNAPSHOT) == "kept"
    assert handles(clean) == before
    assert clean.drops()["between-networks"] > 0


def test_restart_within_the_first_seconds_settles_again(clean: Lab) -> None:
    """An agent that was killed while settling leaves the caller to end it properly."""
    clean.run(clean.firewall.start(SNAPSHOT))
    before = handles(clean)
    again = Firewall(clean.nft, clean.bus)
    assert clean.run(again.start(SNAPSHOT)) == "loaded"
    assert handles(clean) == before
    clean.run(again.apply(SNAPSHOT, Change(put=(POLICY,))))
    assert clean.run(again.verify())


@pytest.mark.parametrize(
    ("command", "started"),
    [
        ("insert rule inet volt decide accept", "replaced"),
        ("flush chain inet volt in-host", "replaced"),
        ('add element inet volt host-interfaces { "eth0" }', "replaced"),
        ('delete element bridge volt port-macs { "vc-web" . 02:00:0a:00:00:05 }', "replaced"),
        ("add chain inet volt more", "replaced"),
        ("delete table bridge volt", "replaced"),
        ("add table inet other", "kept"),
        ("delete table inet volt", "loaded"),
        ("flush ruleset", "loaded"),
        ("flush ruleset\nadd table inet volt\nadd table bridge volt", "loaded"),
    ],
)
def test_whatever_was_changed_meanwhile_is_put_right(
    clean: Lab, command: str, started: str
) -> None:
    """The start says whether the hooks are new, so that only then the host has to settle."""
    clean.load(SNAPSHOT)
    clean.sh("host", "nft", "-f", "-", given=command)
    assert clean.load(SNAPSHOT) == started
    assert clean.run(clean.firewall.verify())


def test_replacing_interrupts_no_stream(clean: Lab) -> None:
    """Masqueraded, bridged, to the host and from it: one atomic transaction each time."""
    clean.load(SNAPSHOT)
    with (
        Session(clean, "web", "outside", OUTSIDE, 80) as masqueraded,
        Session(clean, "web", "app", "10.0.0.6", 80) as bridged,
        Session(clean, "outside", "host", HOST, 22) as inbound,
        Session(clean, "host", "outside", OUTSIDE, 81) as outbound,
    ):
        for _ in range(20):
            clean.run(clean.firewall.restore())
            for each in (masqueraded, bridged, inbound, outbound):
                assert each.download()
                assert each.upload()
