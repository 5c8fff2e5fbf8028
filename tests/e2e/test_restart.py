"""A restart of the agent is no outage: SIGTERM, SIGKILL, alone and under a service manager."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.e2e.conftest import make_pair
from tests.support.host import HOST_ADDRESS, Host
from tests.support.kernel_objects import identities
from tests.support.service import Service
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

# A guard only: benchmarks/restart.py measures it, and must find less than 1,000.
DNS_GAP_MS = 60_000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_restart_loses_no_packet_and_remakes_nothing(pair: Host, how: signal.Signals) -> None:
    """200 datagrams/s between two workloads: none lost; DNS is back; every object is the same."""
    before = identities(pair)
    datagrams, questions = start_streams(pair)
    status = pair.stop_agent(how)
    pair.start_agent()
    sent, asked = stop_streams(pair, datagrams, questions)
    assert status == (0 if how == signal.SIGTERM else -how)
    assert (sent["lost"], sent["sent"] > 50) == (0, True), sent
    assert asked["longest_gap_ms"] < DNS_GAP_MS
    assert asked["wrong"] == 0
    assert identities(pair) == before


def test_a_start_mends_what_an_older_agent_left_out(pair: Host) -> None:
    """Ports that are no hairpins, a bridge that does not route 127.0.0.1: forwards need both."""
    pair.call("net.port.add", host_port=8080, target="web", target_port=80)
    to_itself = Attempt("web", HOST_ADDRESS, "tcp", 8080)
    by_the_host = Attempt("host", "127.0.0.1", "tcp", 8080)
    assert [each.answered for each in pair.traffic.probe([to_itself, by_the_host])] == [True] * 2
    pair.stop_agent()
    pair.run("bridge", "link", "set", "dev", "vc-web", "hairpin", "off")
    pair.run("sysctl", "-qw", "net.ipv4.conf.volt-backend.route_localnet=0")
    assert not pair.traffic.probe([by_the_host])[0].answered
    pair.start_agent()
    assert [each.answered for each in pair.traffic.probe([to_itself, by_the_host])] == [True] * 2


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_with_kept_sockets_no_query_is_lost(host: Host, how: str) -> None:
    """The service manager keeps the sockets: every query is answered, also over a crash."""
    service = Service(host, *host.agent_command)
    try:
        service.order("start")
        make_pair(host)
        before = identities(host)
        datagrams, questions = start_streams(host)
        service.order(how)
        state = service.order("start") if how == "kill" else service.order("state")
        sent, asked = stop_streams(host, datagrams, questions)
        assert sent["lost"] == 0, sent
        assert (asked["lost"], asked["wrong"]) == (0, 0), (asked, state, host.agent_log())
        assert any(name.startswith("dns-udp-") for name in state["store"])
        assert identities(host) == before
    finally:
        service.close()


def test_the_agent_tells_the_service_manager_how_it_is(host: Host) -> None:
    """READY=1 only once it has converged, STOPPING=1 at the end, and status 0."""
    service = Service(host, *host.agent_command)
    try:
        started = service.order("start")
        assert started["states"]["READY"] == "1"
        assert host.is_ready()
        stopped = service.order("stop")
        assert stopped["states"]["STOPPING"] == "1"
        assert (stopped["status"], stopped["refused"]) == (0, [])
    finally:
        service.close()


def test_what_changed_meanwhile_is_noticed(pair: Host) -> None:
    """Containers that start and stop while the agent is down are right after its start."""
    pair.volt("net", "connect", "backend", "late")
    pair.stop_agent()
    pair.add_workload("late")
    pair.remove_workload("db")
    pair.start_agent()
    late = pair.address_of("late")
    pair.traffic.await_name("web", "10.30.0.1", "late", late)
    pair.traffic.await_name("web", "10.30.0.1", "db", None)
    assert pair.traffic.reaches("web", late, "ping")


def test_a_second_agent_is_refused(running: Host) -> None:
    """It says that one is running, and the first one does not notice."""
    second = running.run(*running.agent_command, check=False)
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) <= 2
    assert "another agent" in second.stderr
    assert running.is_ready()


def start_streams(host: Host) -> tuple[int, int]:
    """200 datagrams/s from web to db, and 50 questions/s for db; both have begun to flow."""
    address = host.address_of("db")
    datagrams = host.traffic.start_stream("udp", source="web", target=address, port=80, rate=200)
    wanted: dict[str, Any] = {"name": "db", "address": address, "rate": 50}
    questions = host.traffic.start_stream("dns", source="web", server="10.30.0.1", **wanted)
    host.traffic.await_stream(questions)
    return datagrams, questions


def stop_streams(host: Host, *streams: int) -> list[dict[str, Any]]:
    """The reports of streams, once each of them flows (again)."""
    for stream in streams:
        host.traffic.await_stream(stream)
    return [host.traffic.stop_stream(stream) for stream in streams]
