"""What `volt doctor WORKLOAD [PEER]` says about each thing that it finds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from volt_agent.cli.checks import State
from volt_agent.cli.workload_checks import (
    Attempted,
    PairFindings,
    WorkloadFindings,
    examine_pair,
    examine_workload,
)
from volt_agent.control.messages.container import Interface, WorkloadDetail
from volt_agent.control.messages.ingress import BackendView, Route
from volt_agent.control.messages.names import Answer, Record
from volt_agent.control.messages.policy import Attempt, Policy, PolicyAnswer
from volt_agent.control.messages.port import Forward
from volt_agent.control.messages.workload import Attachment

PLACE = Attachment(network="volt0", ip="10.0.0.5", mac="02:00:00:00:00:05", interface="vc-web")
WEB = WorkloadDetail(
    name="web",
    kind="container",
    runtime="netns",
    state="running",
    networks=[PLACE],
    inside={"volt0": "eth0"},
    interfaces=[Interface(name="eth0", mac=PLACE.mac or "", up=True, addresses=["10.0.0.5/24"])],
)
TOLD = Answer(
    name="web",
    type="A",
    asker="host",
    status="NOERROR",
    source="local",
    view=[],
    reason="",
    records=[Record(name="web.", type="A", ttl=5, data="10.0.0.5")],
)
UNTOLD = replace(TOLD, status="NXDOMAIN", records=[])
ALLOWED = PolicyAnswer(
    source="api",
    target="web",
    port=80,
    proto="tcp",
    verdict="ALLOWED",
    by="default",
    reason="same network",
)
DENIED = replace(ALLOWED, verdict="DENIED", by="policy: no", reason="it denies this")
HEALTHY = WorkloadFindings(workload=WEB, named=TOLD)
PAIR = PairFindings(source=replace(WEB, name="api"), target=WEB, named=TOLD)


def _web(**changes: Any) -> WorkloadFindings:
    return WorkloadFindings(workload=replace(WEB, **changes), named=TOLD)


def _inside(**changes: Any) -> WorkloadFindings:
    return _web(interfaces=[replace(WEB.interfaces[0], **changes)])


def _tried(outcome: str, agrees: bool | None) -> Attempted:
    return Attempted("api to web", replace(ALLOWED, live=Attempt(outcome=outcome, agrees=agrees)))


def _forward(status: Any) -> Forward:
    return Forward(host_port="80", target="web", target_port="80", proto="tcp", status=status)


def _route(status: Any) -> Route:
    return Route(
        name="shop",
        hostname="*",
        path="/",
        backends=[BackendView("web:80", status, "refused"), BackendView("web-2:80", "pending")],
        tls="off",
        timeout=30,
        drain=30,
        redirect=True,
    )


def test_a_healthy_workload_and_a_healthy_pair() -> None:
    """Nothing but good news."""
    tried = _tried("the target answered", True)
    well = replace(HEALTHY, forwarded=[tried], routes=[_route("healthy")])
    lines = [*examine_workload(well), *examine_pair(replace(PAIR, tried=[tried]))]
    assert {each.state for each in lines} == {"ok"}
    assert [each.check for each in lines] == [
        *("workload", "networks", "inside", "names", "forwards", "ingress"),
        *("networks", "names", "connection"),
    ]


@pytest.mark.parametrize(
    ("found", "check", "state", "words"),
    [
        (_web(state="stopped", interfaces=[]), "workload", "warn", "does not run"),
        (_web(state="pending", interfaces=[]), "workload", "warn", "never seen"),
        (_web(problems=["port volt0/web: no"]), "workload", "fail", "port volt0/web: no"),
        (_web(networks=[]), "networks", "fail", "on no network"),
        (_web(networks=[replace(PLACE, interface=None)]), "networks", "fail", "not attached"),
        (_inside(name="eth7"), "inside", "fail", "eth0 is gone"),
        (_inside(up=False), "inside", "fail", "eth0 is down"),
        (_inside(addresses=["10.0.0.50/24"]), "inside", "fail", "has not the address 10.0.0.5"),
        (replace(HEALTHY, named=UNTOLD), "names", "fail", "answered with NXDOMAIN"),
        (_web(forwards=[_forward("pending")]), "forwards", "warn", "port 80/tcp is pending"),
        (
            replace(HEALTHY, forwarded=[_tried("refused at once: nobody", True)]),
            "forwards",
            "warn",
            "allowed, but refused",
        ),
        (replace(HEALTHY, routes=[_route("unhealthy")]), "ingress", "warn", "web:80 is unhealthy"),
    ],
)
def test_a_fault_of_a_workload(
    found: WorkloadFindings, check: str, state: State, words: str
) -> None:
    """It has its line, with a hint, and no other changes for the worse."""
    worse = [each for each in examine_workload(found) if each.state != "ok"]
    assert [(each.check, each.state) for each in worse] == [(check, state)]
    assert words in worse[0].message
    assert worse[0].hint or found.workload.problems


PAIR_FAULTS: list[tuple[PairFindings, str, State, str]] = [
    (
        replace(PAIR, source=replace(WEB, name="api", networks=[])),
        "networks",
        "warn",
        "share no network",
    ),
    (replace(PAIR, named=UNTOLD), "names", "warn", "asks for web and is told NXDOMAIN"),
    (
        replace(PAIR, tried=[Attempted("api to web", DENIED)]),
        "connection",
        "warn",
        "denied by policy: no",
    ),
    (replace(PAIR, tried=[_tried("no answer", False)]), "connection", "fail", "no answer"),
    (replace(PAIR, tried=[_tried("refused", True)]), "connection", "warn", "refused"),
]


@pytest.mark.parametrize(("found", "check", "state", "words"), PAIR_FAULTS)
def test_a_fault_between_two(found: PairFindings, check: str, state: State, words: str) -> None:
    """It has its line, with a hint."""
    worse = [each for each in examine_pair(found) if each.state != "ok"]
    assert [(each.check, each.state) for each in worse] == [(check, state)]
    assert words in worse[0].message
    assert worse[0].hint


def test_who_may_reach_it_is_said() -> None:
    """Policies are no faults; but they are what people look for."""
    allow = Policy(name="a", source="api", target="web", port="80", proto="tcp", action="allow")
    deny = Policy(name="d", source="db", target="volt0", port="any", proto="any", action="deny")
    lines = examine_workload(_web(policies=[allow, deny]))
    assert {each.state for each in lines} == {"ok"}
    said = [each.message for each in lines if each.check == "policies"]
    assert said == [
        "isolated: of other workloads only api may reach it (a)",
        "db may not reach it (d)",
    ]
