"""The control plane: all that answers over the control socket and the status port.

A module of its own because it is loaded last. Its imports are a third of the agent's, and nobody
should wait for a name while they are read.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial

import anyio
import anyio.abc
from msgspec import Struct

from . import __version__
from .control.api import Api, Probes
from .control.dns_metrics import register_names
from .control.handlers import Handler, Handlers
from .control.handlers.agent import AgentHandlers
from .control.handlers.certificate import CertificateHandlers
from .control.handlers.compose import ComposeHandlers
from .control.handlers.container import ContainerHandlers
from .control.handlers.firewall import FirewallHandlers
from .control.handlers.ingress import IngressHandlers
from .control.handlers.lease import LeaseHandlers
from .control.handlers.names import NameHandlers
from .control.handlers.network import NetworkHandlers
from .control.handlers.policy import PolicyHandlers
from .control.handlers.port import PortHandlers
from .control.handlers.status import HostStatus
from .control.handlers.tune import TuneHandlers
from .control.handlers.vlan import VlanHandlers
from .control.handlers.workload import WorkloadHandlers
from .control.loop_lag import LoopLag
from .control.messages import agent as messages
from .control.metrics import Metrics
from .control.peer import access_of_this_process
from .control.server import ControlServer
from .control.sockets import Listener
from .dns.settings import ZONE
from .errors import Refused
from .parts import Parts
from .process import resident_bytes, started
from .supervise import start as start_task
from .tune import Tuner


class ControlPlane:
    """See the module. `start` serves until the task group ends."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = Metrics()
        self._lag = LoopLag(self._metrics.observe_lag)
        _register(self._metrics, parts)
        self._server: ControlServer | None = None
        self._under_way = 0  # calls, but for upgrades
        self._may_call = asyncio.Event()
        self._may_call.set()
        self._all_answered = asyncio.Event()
        self._has_left = False

    def start(self, tasks: anyio.abc.TaskGroup, listeners: list[Listener]) -> None:
        handlers = _handlers(self._parts)
        api = Api(
            {name: partial(self._call, name, handler) for name, handler in handlers.items()},
            Probes(self._is_ready, self._status, self._render_metrics),
            self._parts.events,
            access_of_this_process(),
            observe=self._metrics.observe_call,
        )
        self._server = ControlServer(api, listeners)
        start_task(tasks, "control", self._server.serve)
        start_task(tasks, "loop lag", self._lag.run)

    async def rest(self, within: float) -> None:
        """Accept nobody, and finish what was asked; what is asked now waits until `go_on`. Raises
        Refused if a command takes longer than `within` seconds."""
        self._may_call.clear()
        if self._server is not None:
            self._server.rest()
        with anyio.move_on_after(within):
            while self._under_way:
                self._all_answered.clear()
                await self._all_answered.wait()
        if self._under_way:
            raise Refused("another command is under way", "try again when it has ended")

    def go_on(self) -> None:
        """Answer again."""
        if self._server is not None:
            self._server.go_on()
        self._may_call.set()

    def leave(self) -> None:
        """Another process answers from now on: who still asks here is told so."""
        self._has_left = True
        if self._server is not None:
            self._server.leave()
        self._may_call.set()

    async def _call(self, name: str, handler: Handler, params: Struct) -> object:
        """A call that comes during the start waits for its end instead of failing."""
        await self._parts.is_up.wait()
        if name == messages.UPGRADE.name:
            return await handler(params)
        await self._may_call.wait()
        if self._has_left:
            raise Refused("a new version of the agent has taken over", "ask again")
        self._under_way += 1
        try:
            return await handler(params)
        finally:
            self._under_way -= 1
            self._all_answered.set()

    def _render_metrics(self) -> bytes:
        return self._metrics.render() + self._parts.ingress.metrics()

    def _is_ready(self) -> tuple[bool, list[str]]:
        state = self._parts.state()
        if state in ("starting", "stopping"):
            return False, [f"the agent is {state}"]
        found = self._parts.reconciler.problems.items()
        problems = [f"{target}: {reason}" for target, reason in found]
        return not problems, problems

    def _status(self) -> messages.AgentStatus:
        parts, snapshot = self._parts, self._parts.registry.snapshot
        problems = [*self._is_ready()[1], *parts.ingress.problems()]
        uptime, state = time.monotonic() - parts.began, parts.state()
        return messages.AgentStatus(
            version=__version__,
            pid=os.getpid(),
            state="degraded" if state == "ready" and problems else state,
            started=started(uptime),
            uptime=round(uptime, 3),
            networks=len(snapshot.networks),
            workloads=len({*snapshot.workloads, *snapshot.instances}),
            running=len(snapshot.instances),
            config=parts.options.config,
            state_dir=parts.options.state_dir,
            socket=parts.options.socket,
            loop_lag_p99_ms=round(self._lag.percentile(0.99) * 1e3, 2),
            memory=resident_bytes(),
            problems=problems,
            generation=parts.generation,
            hand_over=parts.hand_over(),
        )


def _handlers(parts: Parts) -> Handlers:
    registry, edge, bus, firewall = parts.registry, parts.edge, parts.bus, parts.firewall
    status = HostStatus(
        registry,
        edge,
        parts.reconciler,
        firewall,
        parts.names,
        parts.upstreams,
        parts.concerns,
    )
    groups = (
        NetworkHandlers(registry, edge, parts.reconciler, bus, parts.surroundings, status.collect),
        VlanHandlers(registry, edge, parts.reconciler),
        FirewallHandlers(registry, firewall, bus, parts.cut),
        PortHandlers(registry, bus, parts.cut, lambda: parts.ingress.settings.ports),
        PolicyHandlers(registry, edge, firewall, bus, parts.enforces_policies, parts.cut),
        IngressHandlers(registry, parts.ingress, bus),
        CertificateHandlers(registry, parts.ingress),
        NameHandlers(registry, parts.names, bus),
        LeaseHandlers(parts.dhcp),
        TuneHandlers(Tuner(registry, edge)),
        WorkloadHandlers(registry),
        ContainerHandlers(registry, parts.reconciler, edge, firewall, bus, ZONE),
        AgentHandlers(parts.reload, parts.reset, parts.switch, parts.upgrade),
    )
    calls = {name: handler for group in groups for name, handler in group.handlers().items()}
    compose = ComposeHandlers(
        registry, edge, parts.surroundings, lambda: parts.ingress.settings.ports, calls
    )
    return {**calls, **compose.handlers()}


def _register(metrics: Metrics, parts: Parts) -> None:
    """What is counted elsewhere and read at a scrape."""
    registry = parts.registry
    gauge, counter = metrics.gauge, metrics.counter
    gauge("volt_networks", "Networks", lambda: len(registry.snapshot.networks))
    gauge("volt_workloads_running", "Running workloads", lambda: len(registry.snapshot.instances))
    gauge("volt_rules", "Firewall rules", lambda: len(registry.snapshot.rules))
    gauge("volt_policies", "Network policies", lambda: len(registry.snapshot.policies))
    gauge("volt_forwards", "Port forwards", lambda: len(registry.snapshot.forwards))
    gauge("volt_routes", "Routes of the ingress", lambda: len(registry.snapshot.routes))
    gauge("volt_ports", "Ports of workloads", lambda: len(registry.snapshot.ports))
    gauge("volt_problems", "Unsolved problems", lambda: len(parts.reconciler.problems))
    register_names(metrics, parts.names)
    gauge("volt_leases", "Addresses given by DHCP", lambda: len(registry.snapshot.leases))
    counter("volt_dhcp", "DHCP events", parts.dhcp.counters.as_dict, "kind")
