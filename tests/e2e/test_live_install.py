"""The agent's first start on a host that is in use cuts nothing."""

from __future__ import annotations

import pytest

from tests.support.host import HOST_ADDRESS, OUTSIDE_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

CONFIG = "network: {firewall: {host_allow: [ssh, 443/tcp]}}"
SSH, ALLOWED, CLOSED, MIRROR, LOOPBACK = 22, 443, 8080, 8000, 5432
# A guard only: the pause that a running connection may notice; one that is cut has it for good.
PAUSE_MS = 5000


@pytest.fixture
def host_in_use() -> Host:
    """A host with services, before volt comes."""
    host = Host(CONFIG)
    host.traffic.serve("host", tcp=[SSH, ALLOWED, CLOSED], udp=[5000])
    host.traffic.serve("outside", tcp=[MIRROR])
    return host


def test_running_connections_go_through_the_first_start(host_in_use: Host) -> None:
    """Downloads in both directions and a session live on; new connections meet the policy.

    One of the downloads is from a port that the default closes: what runs is not cut.
    """
    with host_in_use as host:
        flows = {
            "a download of the host": ("download", "host", OUTSIDE_ADDRESS, MIRROR),
            "an SSH-like session": ("session", "outside", HOST_ADDRESS, SSH),
            "a download from an allowed port": ("download", "outside", HOST_ADDRESS, ALLOWED),
            "a download from a closed port": ("download", "outside", HOST_ADDRESS, CLOSED),
        }
        streams = {
            name: host.traffic.start_stream(kind, source=source, target=to, port=port, rate=100)
            for name, (kind, source, to, port) in flows.items()
        }
        host.start_agent()
        assert host.call("net.status")["firewall"]["settling"]
        wait_until(lambda: _settled(host), "the deny is in force")
        outcomes = host.traffic.probe(
            [Attempt("outside", HOST_ADDRESS, "tcp", port) for port in (SSH, ALLOWED, CLOSED)]
        )
        assert [each.answered for each in outcomes] == [True, True, False]
        host.traffic.await_progress(list(streams.values()), 20)
        for name, stream in streams.items():
            report = host.traffic.stop_stream(stream)
            assert report["ended"] is None, (name, report)
            assert report["longest_gap_ms"] < PAUSE_MS, (name, report)


def test_the_list_of_closed_ports_is_right(host_in_use: Host) -> None:
    """What outside could reach before and cannot now: not what is allowed, not loopback's."""
    with host_in_use as host:
        local = host.start(*host.python("-c", _LOOPBACK, str(LOOPBACK)), stdout=-1)
        assert local.stdout.readline() == "listening\n"
        host.start_agent()
        closed = host.call("net.status")["closed_ports"]
        assert {(each["protocol"], each["port"]) for each in closed} == {
            ("tcp", CLOSED), ("udp", 5000),
        }  # fmt: skip
        assert str(CLOSED) in host.agent_log()
        assert str(CLOSED) in host.volt("net", "status").stdout
        local.end()
        local.stdout.close()


def test_with_host_inbound_allow_the_host_is_left_alone() -> None:
    """Everything of the host's own stays open, at once and for good."""
    with Host("network: {firewall: {host_inbound: allow}}") as host:
        host.traffic.serve("host", tcp=[CLOSED], udp=[5000])
        host.start_agent()
        attempts = [
            Attempt("outside", HOST_ADDRESS, "tcp", CLOSED),
            Attempt("outside", HOST_ADDRESS, "udp", 5000),
            Attempt("outside", HOST_ADDRESS, "ping"),
        ]
        assert all(each.answered for each in host.traffic.probe(attempts))
        assert host.call("net.status")["closed_ports"] == []


def _settled(host: Host) -> bool:
    return not host.call("net.status")["firewall"]["settling"]


_LOOPBACK = """
import signal, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    signal.pause()
"""
