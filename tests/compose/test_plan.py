"""What a project wants and what there is -> steps; and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.networks.build import AROUND, backend, route
from volt_agent.bus import Bus
from volt_agent.compose.plan import Around, Plan, plan
from volt_agent.control.handlers import Handler
from volt_agent.control.handlers.compose import ComposeHandlers
from volt_agent.control.messages.compose import (
    Down,
    Report,
    Up,
    Wanted,
    WantedConnection,
    WantedForward,
    WantedNetwork,
)
from volt_agent.errors import KernelRefused, NotFound, Refused
from volt_agent.kernel.fake import FakeEdge
from volt_agent.model.project import Project
from volt_agent.model.route import USUAL_PORTS
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.networks.decide import Surroundings, connect, create_network, delete_network
from volt_agent.registry import Registry
from volt_agent.store import MemoryStore

FRONT = WantedNetwork(name="front", subnet="10.40.0.0/24")
BACK = WantedNetwork(name="back")


def steps(found: Plan) -> list[str]:
    return [f"{each.step.action} {each.step.what}" for each in found.calls]


def planned(snapshot: Snapshot, wanted: Wanted, around: Surroundings = AROUND) -> Plan:
    return plan(snapshot, Around(around), wanted)


def test_what_others_made_is_used_and_not_owned() -> None:
    """Nothing to do, nothing to take away later, and a sentence on each."""
    wanted = Wanted(
        name="shop",
        networks=(WantedNetwork(name="backend"),),
        connections=(WantedConnection(network="backend", workload="web"),),
    )
    found = planned(backend("web"), wanted)
    assert (found.calls, found.project) == ((), Project("shop"))
    assert [each.partition(" is not")[0] for each in found.notes] == [
        "network backend",
        "the connection of web to backend",
    ]


def test_what_others_made_otherwise_is_refused() -> None:
    """With the name of what it is about; a network that has to exist must."""
    other = Wanted(name="shop", networks=(WantedNetwork(name="backend", nat=False),))
    with pytest.raises(Refused) as caught:
        planned(backend(), other)
    assert caught.value.message == "network backend: network backend exists with nat on, not off"
    with pytest.raises(NotFound):
        planned(Snapshot(), Wanted(name="s", networks=(WantedNetwork(name="x", external=True),)))


def test_named_subnets_come_before_chosen_ones() -> None:
    """So the order in the file does not matter."""
    named = WantedNetwork(name="named", subnet="10.0.1.0/24")
    found = planned(Snapshot(), Wanted(name="shop", networks=(BACK, named)))
    assert [each.step.detail for each in found.calls] == ["10.0.1.0/24", "10.0.2.0/24"]


def test_a_changed_network_is_made_anew() -> None:
    """Its own route in the kernel is no clash; who is on it leaves it and comes back."""
    snapshot = backend("web").apply(
        Change(put=(Project("shop", networks=("backend",), connections=("backend/web",)),))
    )
    around = Surroundings(
        default_bridge="volt0",
        default_subnet=AROUND.default_subnet,
        default_mtu=1500,
        routes=(route("10.30.0.0/24", "volt-backend"),),
    )
    wanted = Wanted(
        name="shop",
        networks=(WantedNetwork(name="backend", subnet="10.30.0.0/24", mtu=9000),),
        connections=(WantedConnection(network="backend", workload="web"),),
    )
    assert steps(planned(snapshot, wanted, around)) == [
        "disconnect web from backend",
        "delete network backend",
        "create network backend",
        "connect web to backend",
    ]


class Rig:
    """The handlers of compose over calls that commit, and refuse to connect `broken`."""

    def __init__(self) -> None:
        self.registry = Registry(MemoryStore())
        calls: dict[str, Handler] = {
            "net.create": self.create,
            "net.connect": self.connect,
            "net.delete": self.delete,
        }
        edge = FakeEdge(Bus())
        compose = ComposeHandlers(self.registry, edge, AROUND, lambda: USUAL_PORTS, calls)
        self.up, self.down = compose.up, compose.down

    async def create(self, params: Any) -> None:
        await self.registry.commit(
            lambda now: create_network(now, AROUND, params.name, params.subnet)
        )

    async def connect(self, params: Any) -> None:
        if params.workload == "broken":
            raise KernelRefused("the kernel says no", hint="ask it why")
        await self.registry.commit(lambda now: connect(now, params.network, params.workload))

    async def delete(self, params: Any) -> None:
        await self.registry.commit(lambda now: delete_network(now, params.name, "volt0"))


def test_a_failure_stops_and_says_what_was_done() -> None:
    """What is done stays and belongs to the project, so that `down` finds it."""

    async def scenario() -> tuple[Report, Project, Report, Snapshot]:
        rig = Rig()
        await rig.registry.open()
        broken = WantedConnection(network="front", workload="broken")
        port = WantedForward(host_port="18080", target="broken", target_port="80")
        failed = await rig.up(
            Up(name="shop", networks=(FRONT,), connections=(broken,), forwards=(port,))
        )
        project = rig.registry.snapshot.projects["shop"]
        return failed, project, await rig.down(Down(name="shop")), rig.registry.snapshot

    failed, project, gone, after = asyncio.run(scenario())
    assert [each.state for each in failed.steps] == ["done", "failed", "planned"]
    assert (failed.failure, failed.hint) == ("the kernel says no", "ask it why")
    assert project == Project("shop", networks=("front",))
    assert [each.what for each in gone.steps] == ["network front"]
    assert (dict(after.networks), dict(after.projects)) == ({}, {})
