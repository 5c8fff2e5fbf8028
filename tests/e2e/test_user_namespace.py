"""Rules, policies and forwards are in force for the root of a user namespace (`unshare -Urnm`) too.

It has no capability on the machine itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.traffic import Attempt

from .conftest import make_pair

pytestmark = pytest.mark.kernel

LOOPBACK = "127.0.0.1"
# Whoever is told to become somebody else gets a user namespace; this stays who it is.
IN_USER_NAMESPACE = ["env"]


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """web and db on backend, serving tcp and udp 80; the host serves tcp 9000."""
    with Host(before=IN_USER_NAMESPACE) as host:
        host.start_agent()
        make_pair(host)
        host.traffic.serve("host", tcp=[9000])
        wait_until(lambda: not host.call("net.status")["firewall"]["settling"], "settled")
        yield host


def is_open(host: Host, source: str, target: str, port: int, protocol: str = "tcp") -> bool:
    """By a real attempt; the model has to agree."""
    (outcome,) = host.traffic.probe([Attempt(source, target, protocol, port)])
    if target != LOOPBACK:
        how = {"from": source, "to": target, "port": str(port), "proto": protocol}
        verdict = host.call("net.policy.test", **how)["verdict"]
        assert (verdict == "ALLOWED") == outcome.answered, how
    return outcome.answered


def test_it_has_no_rights_on_the_machine(site: Host) -> None:
    """The agent's user namespace is not that of the machine."""
    assert site.agent is not None
    assert os.readlink(f"/proc/{site.agent.pid}/ns/user") != os.readlink("/proc/self/ns/user")


def test_policies_hold_within_one_bridge(site: Host) -> None:
    """And `--live` agrees."""
    db = site.address_of("db")
    assert is_open(site, "web", db, 80)
    site.volt("net", "policy", "create", "--name", "p", "--from", "db", "--to", "web",
              "--port", "80", "--action", "deny")  # fmt: skip
    assert not is_open(site, "db", site.address_of("web"), 80)
    assert is_open(site, "web", db, 80)
    live = site.volt("net", "policy", "test", "--from", "db", "--to", "web", "--port", "80",
                     "--live", check=False)  # fmt: skip
    assert live.returncode == 5, live
    assert "DENIED" in live.stdout
    site.volt("net", "policy", "delete", "p")
    assert is_open(site, "db", site.address_of("web"), 80)


def test_rules_hold_and_are_counted(site: Host) -> None:
    """Between workloads, and for the host's own ports."""
    assert not is_open(site, "outside", HOST_ADDRESS, 9000)
    for name, source, dest, port, action in (
        ("no", "web", "db", 80, "reject"),
        ("host", "outside", "host", 9000, "accept"),
    ):
        rule = {"name": name, "source": source, "dest": dest, "port": port, "action": action}
        site.call("net.firewall.add", **rule)
    assert not is_open(site, "web", site.address_of("db"), 80)
    assert is_open(site, "outside", HOST_ADDRESS, 9000)
    counted = {each["name"]: each["packets"] for each in site.call("net.firewall.list")[:2]}
    assert min(counted.values()) >= 1, counted


def test_a_revocation_cuts_a_connection_to_the_host(site: Host) -> None:
    """Also its own end, which takes a capability over the network namespace."""
    download = site.traffic.start_stream(
        "download", source="outside", target=HOST_ADDRESS, port=9000, rate=50
    )
    site.traffic.await_progress([download])
    site.volt("net", "firewall", "flush")
    assert not is_open(site, "outside", HOST_ADDRESS, 9000)
    ended = site.traffic.stop_stream(download)
    assert ended["ended"] is not None, ended
    assert "cannot close" not in site.agent_log()


def test_forwards_lead_in(site: Host) -> None:
    """From outside, from the host's loopback, from the target itself; by udp as well."""
    for protocol in ("tcp", "udp"):
        forward = {"host_port": 8080, "target": "web", "target_port": 80, "proto": protocol}
        site.call("net.port.add", **forward)
        for source, target in (
            ("outside", HOST_ADDRESS),
            ("host", LOOPBACK),
            ("web", HOST_ADDRESS),
            ("db", HOST_ADDRESS),
        ):
            assert is_open(site, source, target, 8080, protocol), (source, protocol)
        site.volt("net", "port", "delete", "--host-port", "8080", "--proto", protocol)
        assert not is_open(site, "outside", HOST_ADDRESS, 8080, protocol)


def test_what_others_flush_is_back(site: Host) -> None:
    """With the rules that are wanted."""
    site.call("net.firewall.add", name="no", source="web", dest="db", port=80, action="drop")
    site.run("nft", "flush", "ruleset")
    wait_until(lambda: "table inet volt" in site.run("nft", "list", "tables").stdout, "back")
    assert not is_open(site, "web", site.address_of("db"), 80)
    site.volt("net", "firewall", "flush")
