"""The firewall at boot: before the network and the agent, and the one that the agent wants."""

from __future__ import annotations

import pytest

from tests.support.host import HOST_ADDRESS, Host

pytestmark = pytest.mark.kernel


def _boot(host: Host) -> None:
    """The agent is gone, and the kernel has no rules."""
    host.stop_agent()
    host.run("nft", "flush", "ruleset")


def test_the_agent_finds_its_firewall_in_place(pair: Host) -> None:
    """What was stored is in force before the agent, which keeps it."""
    pair.traffic.serve("host", tcp=[8443, 9000])
    pair.volt("net", "firewall", "add", "--name", "office", "--source", "any", "--dest", "host",
              "--port", "8443", "--action", "accept")  # fmt: skip
    _boot(pair)
    assert pair.traffic.reaches("outside", HOST_ADDRESS, "tcp", 9000)  # nothing is closed yet
    assert pair.volt("agent", "load-firewall").stdout == "firewall loaded\n"
    assert pair.traffic.reaches("outside", HOST_ADDRESS, "tcp", 8443)
    assert not pair.traffic.reaches("outside", HOST_ADDRESS, "tcp", 9000)
    assert pair.volt("agent", "load-firewall").stdout == "firewall kept\n"
    pair.start_agent()
    assert '"message":"firewall kept"' in pair.agent_log()


def test_what_cannot_be_read_counts_as_empty(pair: Host) -> None:
    """A broken configuration and a broken store: the defaults are loaded, and each is named."""
    pair.traffic.serve("host", tcp=[22, 9000])
    _boot(pair)
    pair.path(pair.room / "config.yaml").write_text("network: {mtu: -1}\n")
    pair.path(pair.room / "state/state.db").write_bytes(b"no database" * 1000)
    done = pair.volt("agent", "load-firewall", check=False)
    assert (done.returncode, done.stdout) == (1, "firewall loaded\n")
    assert "network.mtu" in done.stderr
    assert "state.db" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert pair.traffic.reaches("outside", HOST_ADDRESS, "tcp", 22)
    assert not pair.traffic.reaches("outside", HOST_ADDRESS, "tcp", 9000)


def test_it_is_not_for_a_host_with_an_agent(running: Host) -> None:
    """Its rules are in force: they stay."""
    assert running.volt("agent", "load-firewall").stdout == "firewall kept\n"
    assert running.is_ready()
