"""The composition root: makes the parts, starts them in order and stops them in the other.

The order is that of dependence: store, kernel, firewall, networks, runtimes, names, ingress,
control. The kernel's data path needs none of them: it keeps working while the agent is down, and a
start changes nothing that is already right.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from . import __version__, upkeep
from .bus import Bus
from .config import Config
from .control.event_log import EventLog
from .control.messages import agent as messages
from .control.peer import volt_group
from .control.sockets import (
    Listener,
    bind_control_socket,
    bind_status_socket,
    inherited_control_socket,
    inherited_status_socket,
)
from .default_network import DefaultNetwork
from .dhcp.server import DhcpServer
from .dns.server import NameServer
from .errors import Refused, VoltError
from .events import WorkloadStarted
from .firewall.coexistence import Coexistence
from .firewall.plane import Firewall
from .firewall.revoker import Revoker
from .gateways import Gateways
from .handover.holder import holder_beside
from .handover.incumbent import program_on_disk
from .handover.successor import Inheritance, inherit
from .host_doors import HostDoors
from .ingress.settings import CERTIFICATES_NAME
from .kernel.claim import claim_namespace, inherited_claim
from .kernel.linux import LinuxEdge
from .kernel.nft import Nft
from .kernel.pyroute import codec
from .kernel.tamper import TamperWatch
from .late_ingress import LateIngress
from .live import Reloader, Switcher
from .model.snapshot import Snapshot
from .networks.agenda import Rank
from .networks.former import check_links_known
from .networks.reconcile import Reconciler
from .networks.resolvconf import ResolvConf
from .networks.surroundings import surroundings
from .options import AgentOptions
from .parts import Parts
from .process import run_agent, settle
from .registry import Registry
from .reset import Reset
from .rules.keeper import ConfirmKeeper
from .runtimes.lifecycle import Lifecycle
from .runtimes.machined import Machined
from .runtimes.netns import NamedNamespaces
from .runtimes.ports import BridgePorts
from .service import ServiceManager
from .settings import Settings
from .store import SqliteStore
from .succession import Household, Succession
from .supervise import Shift
from .supervise import start as start_task
from .switches import Switches

if TYPE_CHECKING:
    from .control_plane import ControlPlane
    from .ingress.server import Ingress

log = logging.getLogger(__name__)

# How long names may wait for the ports of running workloads at a start: a wrong "no such name"
# would be remembered, a late answer is asked for again.
NAMES_WAIT = 5.0
# How long a command waits until connections that it revoked are cut: it takes 50 ms for 10,000, and
# what takes longer goes on by itself.
CUT_WAIT = 1.0
# The control plane is loaded once names are answered, or after this many seconds.
CONTROL_WAIT = 1.0
CONTROL_SOCKET = "control"  # its name among the sockets of the service manager
# Those that only a successor gets, by name: what the agent has bound itself.
OWN_CONTROL_SOCKET, STATUS_SOCKET = "control-own", "status"


def run(options: AgentOptions) -> int:
    """`volt agent run`: work until SIGTERM or SIGINT; returns the exit status.

    Raises VoltError if the agent cannot start or go on.
    """
    inheritance = inherit(options)
    return run_agent(options, lambda config: Agent(options, config, inheritance).run())


class Agent:
    """One agent, one run. `run` is its whole life. `inheritance` is what the agent has left that
    started this one, if one did."""

    def __init__(
        self, options: AgentOptions, config: Config, inheritance: Inheritance | None = None
    ) -> None:
        self._options, self._inheritance = options, inheritance
        self._manager = ServiceManager(given=inheritance.sockets if inheritance else None)
        self._settings = settings = Settings(config, Switches(options.switches))
        self._began = time.monotonic()
        self._state: messages.State = "starting"
        self._started, self._stop = asyncio.Event(), asyncio.Event()
        self._reset = Reset(self._stop)
        self._bus = Bus()
        self._events = EventLog(self._bus)  # from the first one on
        lock = inheritance.lock if inheritance is not None else None
        self._store = SqliteStore(Path(options.state_dir), lock)
        self._registry = Registry(self._store)
        self._edge = LinuxEdge(self._bus)
        self._default = DefaultNetwork(self._registry, self._edge, options.config)
        self._nft = Nft()
        self._firewall = Firewall(self._nft, self._bus)
        self._coexistence = Coexistence(self._nft, self._bridges)
        self._enforcement = upkeep.Enforcement()
        self._revoker = Revoker(self._edge)
        self._keeper = ConfirmKeeper(self._registry, self._bus)
        self._names = NameServer(settings.dns, self._manager)
        self._dhcp = DhcpServer(settings.dhcp, self._registry, self._edge, self._bus, self._manager)
        self._gateways = Gateways(settings, self._registry, self._edge, self._names, self._dhcp)
        certificates = Path(options.state_dir) / CERTIFICATES_NAME
        self._ingress = LateIngress(
            settings,
            self._manager,
            self._bus,
            self._registry,
            certificates,
            self._coexistence.who_takes,
            holder_beside(options.socket),
        )
        self._control: ControlPlane | None = None
        self._program = program_on_disk()
        self._doors = HostDoors(self._registry, settings, self._ingress)
        self._reconciler = Reconciler(
            self._registry, self._edge, self._bus, ResolvConf(), self._gateways.open
        )
        self._machined = Machined(self._bus, self._edge)
        self._lifecycle = Lifecycle(
            self._registry,
            self._bus,
            self._reconciler.ports.effects,
            lambda: settings.config.network.auto_connect,
            config.network.default_bridge,
        )
        self._reloader = Reloader(
            options,
            settings,
            self._manager,
            self._gateways,
            self._ingress,
            self._doors,
            self._reconciler,
            self._lifecycle,
        )
        self._switcher = Switcher(
            settings, self._names, self._gateways, self._ingress, self._reconciler
        )

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, work until told to stop, stop in order; returns the exit status."""
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            self._listeners = listeners = await self._take_what_is_ours(stack)
            await self._start_kernel(stack)
            check_links_known(self._registry.snapshot, self._edge.mirror, self._options.state_dir)
            async with anyio.create_task_group() as outer:
                outer.start_soon(self._start_control, outer, listeners, name="control")
                async with anyio.create_task_group() as planes:
                    self._succession = self._make_succession(Shift(planes))
                    await self._start_planes(planes, stack)
                    await self._stop.wait()
                    await self._end_serving()
                    planes.cancel_scope.cancel()
                if self._reset.is_asked:
                    await self._take_out()
                outer.cancel_scope.cancel()
        log.info("stopped")
        return 0

    async def _end_serving(self) -> None:
        self._state = "stopping"
        await self._succession.abort()
        if self._succession.is_over:
            for each in self._listeners:
                each.leave()
            await self._succession.leave(self._names, await self._ingress.load())
            return
        self._manager.notify(stopping=1)
        await self._ingress.close()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._reloader.listen()
        loop.add_signal_handler(signal.SIGUSR2, self._upgrade_on_signal)

    async def _take_what_is_ours(self, stack: AsyncExitStack) -> list[Listener]:
        """The control socket and the store: there can be one agent only."""
        claim = inherited_claim(self._inheritance.claim) if self._inheritance else claim_namespace()
        self._claim = stack.enter_context(claim)
        listeners = self._bind()
        for each in listeners:
            stack.callback(each.close)
        stack.push_async_callback(self._store.close)
        await self._registry.open()
        return listeners

    def _bind(self) -> list[Listener]:
        control = self._bind_control()
        listen = self._settings.config.status.listen
        if listen is None:
            return [control]
        try:
            return [control, self._bind_status(str(listen))]
        except VoltError as error:
            log.error("%s; the control socket serves the same", error.message)
            return [control]

    def _bind_control(self) -> Listener:
        given = self._manager.inherited(CONTROL_SOCKET)
        if given is not None:
            return inherited_control_socket(given)
        path = self._options.socket
        left = self._manager.inherited(OWN_CONTROL_SOCKET)
        control = (
            inherited_control_socket(left, path)
            if left is not None
            else bind_control_socket(path, volt_group())
        )
        self._manager.hold(OWN_CONTROL_SOCKET, control.sock)
        return control

    def _bind_status(self, listen: str) -> Listener:
        left = self._manager.inherited(STATUS_SOCKET)
        status = inherited_status_socket(left, listen) if left is not None else None
        status = status or bind_status_socket(listen)
        self._manager.hold(STATUS_SOCKET, status.sock)
        return status

    async def _start_kernel(self, stack: AsyncExitStack) -> None:
        await self._edge.start()
        stack.push_async_callback(self._edge.close)
        stack.push_async_callback(self._nft.close)

    async def _start_planes(self, planes: anyio.abc.TaskGroup, stack: AsyncExitStack) -> None:
        """Firewall before links, links before names; each finds the former one done."""
        self._bus.subscribe(WorkloadStarted, self._log_start)
        around = await surroundings(self._settings.surroundings, self._edge)
        await self._default.bring_about(around)
        if self._registry.snapshot.routes:
            await self._ingress.load()  # what it listens on belongs into the first ruleset
        await self._doors.update(settling=False)
        await self._keeper.start()
        await self._start_firewall(planes, stack)
        # First: the kernel makes a port while the others take in the workload's start.
        self._registry.add_follower(None, self._reconciler)
        self._registry.add_follower(None, self._revoker)
        writers = self._shift
        writers.start("revoker", self._revoker.run)
        start_task(planes, "enforcement", self._enforcement.run)
        writers.start("coexistence", self._coexistence.run)
        self._registry.add_follower(None, self._coexistence)
        self._registry.add_follower(None, self._keeper)
        self._reconciler.ports.resolver = self._settings.resolver
        self._gateways.follow_changes()
        stack.push_async_callback(self._names.close)
        stack.push_async_callback(self._dhcp.close)
        await self._start_runtimes(stack)
        writers.start("firewall mender", self._mend_firewall)
        writers.start("lifecycle", self._lifecycle.run)
        writers.start("machined", self._machined.run)
        # What runs has to be known first: the port of a workload that does not run is taken away.
        await self._lifecycle.settled()
        self._reconciler.mark_all()
        writers.start("reconciler", self._reconciler.run)
        writers.start("unconfirmed changes", self._keeper.run)
        await self._open_servers()
        ingress = await self._ingress.load()
        self._manager.close_unclaimed()
        await self._reconciler.settled_all(Rank.PORT)
        writers.start("leases", self._dhcp.run)
        await ingress.start(self._registry.snapshot, self._doors.update)
        writers.start("ingress", ingress.run)
        writers.start("patrol", self._patrol)
        if self._manager.watchdog is not None:
            start_task(planes, "watchdog", self._feed_watchdog)
        self._say_ready()
        await asyncio.to_thread(codec)
        planes.start_soon(self._arrive, ingress, name="hand-over")

    async def _arrive(self, ingress: Ingress) -> None:
        await self._enforcement.holds()  # trying it out keeps the kernel busy
        await self._succession.arrive(ingress)

    async def _start_firewall(self, planes: anyio.abc.TaskGroup, stack: AsyncExitStack) -> None:
        outcome = await self._firewall.start(self._registry.snapshot)
        self._registry.guard_with(self._firewall)
        places = (("inet", "volt"), ("bridge", "volt"))
        watch = TamperWatch(self._bus, self._nft.comm, places, self._coexistence.note)
        watch.start()
        stack.callback(watch.close)
        log.info("firewall %s", outcome)
        if outcome == "loaded" and self._registry.snapshot.host.inbound == "deny":
            await self._doors.begin_settling()
            self._shift.start("settle", self._doors.settle)

    async def _start_runtimes(self, stack: AsyncExitStack) -> None:
        for runtime in (
            BridgePorts(self._bus, self._edge.mirror, self._snapshot),
            NamedNamespaces(self._bus),
            self._machined,
        ):
            await runtime.start()
            stack.push_async_callback(runtime.close)

    async def _open_servers(self) -> None:
        """Answer names and lease addresses once the ports of what runs are known, or after
        NAMES_WAIT."""
        with anyio.move_on_after(NAMES_WAIT):
            await self._reconciler.settled_all(Rank.PORT)
        self._gateways.serving.set()
        if not self._gateways.open_all():
            self._reconciler.mark_all()
        self._manager.close_unclaimed()

    def _say_ready(self) -> None:
        self._state = "ready"
        self._started.set()
        settle()
        snapshot = self._registry.snapshot
        self._manager.notify(ready=1, status=f"{len(snapshot.networks)} networks")
        log.info(
            "ready",
            extra={
                "fields": {
                    "networks": len(snapshot.networks),
                    "workloads": len(snapshot.instances),
                    "seconds": round(time.monotonic() - self._began, 3),
                }
            },
        )

    # ---- tasks ----------------------------------------------------------------------------------

    async def _mend_firewall(self) -> None:
        await upkeep.mend_firewall(self._bus, self._firewall, self._revoker, self._registry)

    async def _patrol(self) -> None:
        await upkeep.patrol(self._edge, self._bridges, self._reconciler)

    async def _feed_watchdog(self) -> None:
        await upkeep.feed_watchdog(self._manager)

    def _concerns(self) -> list[str]:
        """What keeps firewall and names from doing as they are asked, in sentences."""
        found = [
            f"{each} drops volt's traffic; to heal: {'; '.join(each.commands)}"
            + (f" ({each.hint})" if each.hint else "")
            for each in self._coexistence.drops
        ]
        found += self._reconciler.strangers.reasons
        found += self._names.loops
        found += self._ingress.problems()
        found += self._enforcement.concerns
        return [*found, self._default.concern] if self._default.concern else found

    def _log_start(self, event: WorkloadStarted) -> None:
        log.info(
            "workload %s started",
            event.workload,
            extra={"fields": {"effective_ms": event.effective_ms, "planes_ms": event.planes_ms}},
        )

    # ---- control --------------------------------------------------------------------------------

    async def _start_control(self, tasks: anyio.abc.TaskGroup, listeners: list[Listener]) -> None:
        """Callers wait meanwhile: their connections are accepted by the kernel."""
        with anyio.move_on_after(CONTROL_WAIT):
            await self._gateways.serving.wait()
        parts = self._parts(await self._ingress.load())
        # In a thread: names are answered while a third of the agent's modules is read.
        self._control = plane = await asyncio.to_thread(_control_plane, parts)
        plane.start(tasks, listeners)

    def _parts(self, ingress: Ingress) -> Parts:
        return Parts(
            options=self._options,
            began=self._began,
            registry=self._registry,
            edge=self._edge,
            bus=self._bus,
            events=self._events,
            firewall=self._firewall,
            reconciler=self._reconciler,
            names=self._names,
            dhcp=self._dhcp,
            ingress=ingress,
            surroundings=self._settings.surroundings,
            is_up=self._started,
            state=lambda: self._state,
            upstreams=lambda: self._settings.upstreams,
            concerns=self._concerns,
            enforces_policies=self._enforcement.holds,
            cut=self._connections_cut,
            reload=self._reloader.reload,
            reset=self._reset.ask,
            switch=self._switcher.switch,
            upgrade=self._upgrade,
            generation=self._succession.generation,
            hand_over=lambda: self._succession.last,
        )

    async def _connections_cut(self) -> None:
        """Wait until what the last changes no longer allow is cut, or for CUT_WAIT."""
        with anyio.move_on_after(CUT_WAIT):
            await self._revoker.settled()

    def _snapshot(self) -> Snapshot:
        return self._registry.snapshot

    def _bridges(self) -> list[str]:
        return [each.bridge for each in self._snapshot().networks.values()]

    # ---- upgrade --------------------------------------------------------------------------------

    def _make_succession(self, shift: Shift) -> Succession:
        self._shift = shift
        household = Household(
            control=lambda: self._control,
            cut=self._connections_cut,
            shift=shift,
            dhcp=self._dhcp,
            registry=self._registry,
            store=self._store,
            manager=self._manager,
            claim=self._claim,
            reopen=self._reopen,
            after=self._look_after_rest,
        )
        return Succession(household, self._inheritance)

    def _reopen(self) -> None:
        if not self._gateways.open_all():
            self._reconciler.mark_all()

    async def _look_after_rest(self) -> None:
        """A successor may have been at work: bring back what it changed."""
        if not await self._firewall.verify():
            await self._firewall.restore()
        self._reconciler.mark_all()

    async def _upgrade(self, params: messages.Upgrade) -> messages.Upgraded:
        """Have the program on the disk take over. Raises Refused and Failed: it did not."""
        if self._state != "ready" or self._stop.is_set():
            raise Refused(f"the agent is {self._state}", "try again when it is ready")
        if params.if_newer and program_on_disk() == self._program:
            return messages.Upgraded(
                pid=0, version=__version__, generation=self._succession.generation, seconds=0.0
            )
        done = await self._succession.upgrade(params.timeout)
        self._stop.set()
        return done

    def _upgrade_on_signal(self) -> None:
        self._by_signal = asyncio.get_running_loop().create_task(self._try_upgrade())

    async def _try_upgrade(self) -> None:
        with suppress(VoltError):  # the log has it
            await self._upgrade(messages.Upgrade())

    async def _take_out(self) -> None:
        await self._dhcp.close()
        state_dir = Path(self._options.state_dir)
        await self._reset.carry_out(
            self._edge, self._firewall, self._registry, self._store, state_dir
        )


def _control_plane(parts: Parts) -> ControlPlane:
    from .control_plane import ControlPlane

    return ControlPlane(parts)
