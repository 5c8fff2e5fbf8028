"""What `volt doctor` says about each thing that it finds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.cli.test_output import Terminal
from tests.control.fake_agent import STATUS, VOLT0
from volt_agent.cli.checks import DISK_FAIL, Findings, Line, State, examine
from volt_agent.cli.doctor import line_text
from volt_agent.cli.session import Session
from volt_agent.control.messages import certificate, ingress, names, network, port, vlan

NET = network.NetStatus(
    networks=[VOLT0],
    forwarding=True,
    firewall=network.FirewallState(state="loaded", host_inbound="deny"),
    dns=network.DnsState(enabled=True, listening=[VOLT0.gateway], upstreams=["192.0.2.53:53"]),
)
ENTRY = names.DnsEntry(
    name="web.volt.local", type="A", address="10.0.0.5", network="volt0", workload="web"
)
ROOT = names.Answer(
    name=".", type="NS", asker="host", status="NOERROR", source="forwarded", view=[], reason=""
)
HEALTHY = Findings(
    agent=STATUS,
    net=NET,
    names=[ENTRY],
    upstream=ROOT,
    resolved=ENTRY.address,
    disk_free=2**30,
    dhcp=frozenset([VOLT0.gateway]),
)
FORWARD = port.Forward(
    host_port="80", target="web", target_port="80", proto="tcp", status="pending"
)
ROUTE = ingress.Route(
    name="shop",
    hostname="*",
    path="/",
    backends=[ingress.BackendView("web:80", "unhealthy", "connection refused")],
    tls="off",
    timeout=60,
    drain=30,
    redirect=True,
)
FAILED = certificate.Certificate(
    host="a.example.com",
    tls="auto",
    routes=["web"],
    state="failed",
    status="failed: public DNS has no a.example.com, next try 13:05",
    reason="public DNS has no a.example.com",
)
OLD = certificate.Certificate(
    host="a.example.com",
    tls="manual",
    routes=["web"],
    state="failed",
    status="expired on 2026-01-01",
    reason="/etc/a.pem expired on 2026-01-01: clients will refuse it",
)
CLOSED = network.ClosedPort(protocol="tcp", address="0.0.0.0", port=8080, process="app")
GONE = vlan.Vlan(
    name="eth0.100",
    parent="eth0",
    id=100,
    network="backend",
    mtu=None,
    status="missing",
    problem="there is no eth0",
)
UFW = "ufw drops volt's traffic; to heal: ufw route allow in on volt0"
WAITING = network.Unconfirmed(change="add rule x", deadline="soon", seconds_left=5)


def _net(**changes: Any) -> Findings:
    return replace(HEALTHY, net=replace(NET, **changes))


def _dns(**changes: Any) -> Findings:
    return _net(dns=replace(NET.dns, **changes))


def _agent(**changes: Any) -> Findings:
    return replace(HEALTHY, agent=replace(STATUS, **changes))


# What is wrong, and what is said about it: check, state, and words of the message.
FAULTS: list[tuple[Findings, str, State, str]] = [
    (_agent(state="starting"), "agent", "warn", "starting"),
    (_agent(loop_lag_p99_ms=400.0), "agent", "warn", "lags 400 ms"),
    (_agent(version="0.0.9"), "version", "warn", "the agent 0.0.9"),
    (_net(forwarding=False), "forwarding", "fail", "ip_forward is off"),
    (
        _net(firewall=replace(NET.firewall, state="absent")),
        "firewall",
        "fail",
        "not loaded",
    ),
    (_net(unconfirmed=WAITING), "firewall", "warn", "add rule x"),
    (_net(networks=[replace(VOLT0, status="missing")]), "networks", "fail", "is missing"),
    (_net(problems=[UFW]), "problems", "fail", "ufw drops"),
    (_agent(problems=["ingress: port 80: busy"]), "problems", "fail", "port 80"),
    (_dns(enabled=False), "dns", "warn", "off"),
    (_dns(listening=[]), "dns", "fail", "on volt0"),
    (_dns(upstreams=[]), "upstream", "warn", "none"),
    (replace(HEALTHY, upstream=None), "upstream", "fail", "192.0.2.53"),
    (
        replace(HEALTHY, upstream=replace(ROOT, status="SERVFAIL")),
        "upstream",
        "fail",
        "192.0.2.53",
    ),
    (replace(HEALTHY, resolved=None), "names", "warn", "not at all"),
    (replace(HEALTHY, resolved="192.0.2.9"), "names", "warn", "as 192.0.2.9"),
    (replace(HEALTHY, dhcp=frozenset()), "dhcp", "warn", "on volt0"),
    (replace(HEALTHY, forwards=[FORWARD]), "forwards", "warn", "port 80/tcp to web is pending"),
    (replace(HEALTHY, routes=[ROUTE]), "ingress", "warn", "connection refused"),
    (replace(HEALTHY, certificates=[FAILED]), "certificates", "fail", "next try 13:05"),
    (
        replace(HEALTHY, certificates=[replace(FAILED, status="valid until 2026-12-01; ...")]),
        "certificates",
        "warn",
        "valid until",
    ),
    (replace(HEALTHY, certificates=[OLD]), "certificates", "fail", "clients will refuse it"),
    (
        replace(
            HEALTHY,
            certificates=[replace(FAILED, state="valid", warnings=["leads elsewhere"])],
        ),
        "certificates",
        "warn",
        "leads elsewhere",
    ),
    (_net(closed_ports=[CLOSED]), "closed ports", "warn", "app listens on tcp port 8080"),
    (replace(HEALTHY, disk_free=DISK_FAIL - 1), "disk", "fail", "MiB free"),
    (replace(HEALTHY, vlans=[GONE]), "vlans", "fail", "eth0.100 is missing: there is no"),
    (replace(HEALTHY, vlans=[replace(GONE, status="up")]), "vlans", "warn", "is up: there is no"),
]


def test_a_healthy_host() -> None:
    """Every check has one line, and all is well."""
    lines = examine(HEALTHY)
    assert {each.state for each in lines} == {"ok"}
    assert len({each.check for each in lines}) == len(lines) == 15


@pytest.mark.parametrize(("found", "check", "state", "words"), FAULTS)
def test_a_fault_has_its_line(found: Findings, check: str, state: str, words: str) -> None:
    """And no other line changes for the worse."""
    worse = [each for each in examine(found) if each.state != "ok"]
    assert [(each.check, each.state) for each in worse] == [(check, state)]
    assert words in worse[0].message


CA = "https://acme-v02.api.letsencrypt.org/directory"


@pytest.mark.parametrize(
    "line",
    [
        Line(
            "certificates",
            "fail",
            f"shop.example.com: failed: {CA} cannot be reached: temporary failure in name"
            " resolution, next try 02:42",
            "once it is solved: volt ingress cert renew shop.example.com --force",
        ),
        Line(
            "vlans",
            "fail",
            "eth0.100 is missing: there is no interface eth0, or it is not up",
            "volt net vlan list; ip -d link",
        ),
        Line("forwards", "warn", f"port 8000-8010/tcp to {'a' * 63} is pending", "`volt ps`"),
    ],
)
def test_lines_are_readable_in_80_columns(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each begins below the last, whatever a CA or the kernel has to say."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = line_text(line, Session({"NO_COLOR": "1"}, Terminal())).splitlines()
    assert all(len(each) <= 80 for each in shown if "a" * 63 not in each)
    assert shown[0].startswith(f"{line.state}  {line.check}")
    assert all(each.startswith(" " * 20) for each in shown[1:])


def test_what_is_said_twice_is_shown_once() -> None:
    """The agent and its networking name the same problem; a check of its own needs no other."""
    sentence = "net.ipv4.ip_forward is off: nothing leaves or crosses networks"
    found = replace(
        HEALTHY,
        agent=replace(STATUS, problems=["a"]),
        net=replace(NET, problems=["a", sentence], forwarding=False),
    )
    worse = [each for each in examine(found) if each.state != "ok"]
    assert [each.check for each in worse] == ["forwarding", "problems"]
    assert worse[1] == Line("problems", "fail", "a")
