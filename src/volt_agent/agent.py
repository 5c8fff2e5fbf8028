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
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from . import __version__
from .bus import Bus
from .config import Config, differences, load
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
from .dhcp.settings import DhcpSettings
from .dns.server import NameServer
from .dns.settings import DnsSettings
from .errors import Refused, VoltError
from .events import RulesetTampered, WorkloadStarted
from .firewall.coexistence import Coexistence
from .firewall.plane import Firewall
from .firewall.revoker import Revoker
from .handover.holder import holder_beside
from .handover.incumbent import program_on_disk
from .handover.successor import Inheritance, inherit
from .host_inbound import closed_listeners, host_policy
from .ingress.settings import CERTIFICATES_NAME, IngressSettings
from .kernel.claim import claim_namespace, inherited_claim
from .kernel.enforcement import enforces_within_bridge
from .kernel.host import listening_ports, sshd_ports
from .kernel.linux import LinuxEdge
from .kernel.nft import Nft
from .kernel.pyroute import codec
from .kernel.tamper import TamperWatch
from .model.network import Network
from .model.snapshot import Change, Snapshot
from .networks.agenda import Rank
from .networks.decide import Surroundings
from .networks.former import check_links_known
from .networks.ports import Resolver
from .networks.reconcile import Reconciler
from .networks.resolvconf import ResolvConf
from .networks.surroundings import surroundings
from .options import AgentOptions
from .parts import Parts
from .process import run_agent, settle
from .registry import Registry
from .rules.keeper import ConfirmKeeper
from .runtimes.lifecycle import Lifecycle
from .runtimes.machined import Machined
from .runtimes.netns import NamedNamespaces
from .runtimes.ports import BridgePorts
from .service import ServiceManager
from .store import SqliteStore
from .succession import Household, Succession
from .supervise import Shift
from .supervise import start as start_task
from .switches import Switches, check_switchable, state_of

if TYPE_CHECKING:
    from .control_plane import ControlPlane
    from .ingress.server import Ingress

log = logging.getLogger(__name__)

# Conntrack learns the running connections of a live host before anything of it is denied.
SETTLE = 5.0
# How long names may wait for the ports of running workloads at a start: a wrong "no such name"
# would be remembered, a late answer is asked for again.
NAMES_WAIT = 5.0
# How long a command waits until connections that it revoked are cut: it takes 50 ms for 10,000, and
# what takes longer goes on by itself.
CUT_WAIT = 1.0
# Everything is looked at once more, should an event ever be missed.
PATROL = 30.0
# The control plane is loaded once names are answered, or after this many seconds.
CONTROL_WAIT = 1.0
NOT_ENFORCED = "this kernel does not hold policies within one bridge: modprobe br_netfilter"
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
        self._options, self._config = options, config
        self._began = time.monotonic()
        self._state: messages.State = "starting"
        self._started, self._stop = asyncio.Event(), asyncio.Event()
        self._reset: asyncio.Future[messages.ResetReport] | None = None
        self._purge = False
        self._serving = asyncio.Event()  # names and leases, once the ports of what runs are known
        self._inheritance = inheritance
        self._manager = ServiceManager(given=inheritance.sockets if inheritance else None)
        self._switches = Switches(options.switches)
        self._switching = asyncio.Lock()
        self._bus = Bus()
        self._events = EventLog(self._bus)  # from the first one on
        self._store = SqliteStore(
            Path(options.state_dir), inheritance.lock if inheritance else None
        )
        self._registry = Registry(self._store)
        self._edge = LinuxEdge(self._bus)
        self._default = DefaultNetwork(self._registry, self._edge, options.config)
        self._nft = Nft()
        self._firewall = Firewall(self._nft, self._bus)
        self._coexistence = Coexistence(self._nft, self._bridges)
        self._enforces: bool | None = None  # within one bridge; None: not tried yet
        self._tried_enforcement = asyncio.Event()
        self._revoker = Revoker(self._edge)
        self._keeper = ConfirmKeeper(self._registry, self._bus)
        self._names = NameServer(dns_settings(config), self._manager)
        self._dhcp = DhcpServer(
            dhcp_settings(config), self._registry, self._edge, self._bus, self._manager
        )
        self._control: ControlPlane | None = None
        self._program = program_on_disk()
        self._ingress: Ingress | None = None
        self._ingress_lock = asyncio.Lock()
        self._reconciler = Reconciler(
            self._registry, self._edge, self._bus, ResolvConf(), self._open_network
        )
        self._machined = Machined(self._bus, self._edge)
        self._lifecycle = Lifecycle(
            self._registry,
            self._bus,
            self._reconciler.ports.effects,
            lambda: self._config.network.auto_connect,
            config.network.default_bridge,
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
                await self._reset_if_asked()
                outer.cancel_scope.cancel()
        log.info("stopped")
        return 0

    async def _end_serving(self) -> None:
        self._state = "stopping"
        await self._succession.abort()
        if self._succession.is_over:
            for each in self._listeners:
                each.leave()
            await self._succession.leave(self._names, await self._load_ingress())
            return
        self._manager.notify(stopping=1)
        if self._ingress is not None:
            await self._ingress.close()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._reloads: set[asyncio.Task[object]] = set()
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, self._try_reload)
        loop.add_signal_handler(signal.SIGUSR2, self._on_signal, self._try_upgrade)

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
        listen = self._config.status.listen
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
        around = await surroundings(self._surroundings(), self._edge)
        await self._default.bring_about(around)
        if self._registry.snapshot.routes:
            await self._load_ingress()  # what it listens on belongs into the first ruleset
        await self._put_host_policy(settling=False)
        await self._keeper.start()
        await self._start_firewall(planes, stack)
        # First: the kernel makes a port while the others take in the workload's start.
        self._registry.add_follower(None, self._reconciler)
        self._registry.add_follower(None, self._revoker)
        writers = self._shift
        writers.start("revoker", self._revoker.run)
        start_task(planes, "enforcement", self._try_enforcement)
        writers.start("coexistence", self._coexistence.run)
        self._registry.add_follower(None, self._coexistence)
        self._registry.add_follower(None, self._keeper)
        self._registry.add_follower("dns", _Leaver(self._names))
        self._registry.add_follower(None, _Leaver(self._dhcp))
        self._reconciler.ports.resolver = resolver(self._config)
        self._names.start(self._registry.snapshot)
        self._dhcp.start(self._registry.snapshot)
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
        ingress = await self._load_ingress()
        self._manager.close_unclaimed()
        await self._reconciler.settled_all(Rank.PORT)
        writers.start("leases", self._dhcp.run)
        await ingress.start(self._registry.snapshot, self._put_host_policy)
        writers.start("ingress", ingress.run)
        writers.start("patrol", self._patrol)
        if self._manager.watchdog is not None:
            start_task(planes, "watchdog", self._feed_watchdog)
        self._say_ready()
        await asyncio.to_thread(codec)
        await self._tried_enforcement.wait()
        planes.start_soon(self._succession.arrive, ingress, name="hand-over")

    async def _start_firewall(self, planes: anyio.abc.TaskGroup, stack: AsyncExitStack) -> None:
        outcome = await self._firewall.start(self._registry.snapshot)
        self._registry.guard_with(self._firewall)
        places = (("inet", "volt"), ("bridge", "volt"))
        watch = TamperWatch(self._bus, self._nft.comm, places, self._coexistence.note)
        watch.start()
        stack.callback(watch.close)
        log.info("firewall %s", outcome)
        if outcome == "loaded" and self._registry.snapshot.host.inbound == "deny":
            await self._warn_of_closed_ports()
            await self._put_host_policy(settling=True)
            self._shift.start("settle", self._settle)

    async def _settle(self) -> None:
        await anyio.sleep(SETTLE)
        await self._put_host_policy(settling=False)
        log.info("the host's inbound default is in force")

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
        self._serving.set()
        self._open_networks()
        self._manager.close_unclaimed()

    def _open_networks(self) -> None:
        for network in self._registry.snapshot.networks.values():
            link = self._edge.mirror.links.get(network.bridge)
            if link is not None:
                try:
                    self._open_network(network, link.index)
                except VoltError:
                    self._reconciler.mark_all()  # it tries again, and says what is wrong

    async def _load_ingress(self) -> Ingress:
        """The ingress, which listens from its first call on. It is a sixth of the agent's modules:
        where there is no route, nobody should wait for a name while they are read."""
        async with self._ingress_lock:
            if self._ingress is None:
                make = await asyncio.to_thread(_ingress_class)
                place = Path(self._options.state_dir) / CERTIFICATES_NAME
                self._ingress = make(
                    self._ingress_settings(),
                    self._manager,
                    self._bus,
                    place,
                    holder=holder_beside(self._options.socket),
                )
                self._ingress.open(self._registry.snapshot)
                self._registry.add_follower("ingress", self._ingress)
            return self._ingress

    def _open_network(self, network: Network, ifindex: int) -> None:
        names = self._config.network.dns.enabled and self._switches.is_on("dns")
        if self._serving.is_set() and names:
            self._names.open(network, ifindex)
        if self._serving.is_set() and self._config.network.dhcp.enabled:
            self._dhcp.open(network, ifindex)

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

    # ---- what the planes need at a start --------------------------------------------------------

    def _surroundings(self) -> Surroundings:
        section = self._config.network
        return Surroundings(section.default_bridge, section.default_subnet, section.mtu)

    async def _put_host_policy(self, settling: bool | None = None) -> None:
        """Have the firewall let in what is open now. `settling` None: as it is."""
        ports = await asyncio.to_thread(sshd_ports)

        def decide(snapshot: Snapshot) -> Change:
            settles = snapshot.host.settling if settling is None else settling
            section = self._config.network.firewall
            doors = self._ingress.ports if self._ingress is not None else ()
            policy = host_policy(section, ports, settles, doors)
            return Change() if snapshot.host == policy else Change(put=(policy,))

        await self._registry.commit(decide)

    async def _warn_of_closed_ports(self) -> None:
        snapshot = self._registry.snapshot
        gateways = {str(network.gateway) for network in snapshot.networks.values()}
        listeners = await asyncio.to_thread(listening_ports)
        for each in closed_listeners(snapshot.host, listeners, gateways):
            log.warning(
                "%s port %s on %s (%s) will be closed to the outside in %d s; "
                "network.firewall.host_allow keeps ports open",
                each.protocol,
                each.port,
                each.address,
                each.process or "unknown process",
                SETTLE,
            )

    # ---- tasks ----------------------------------------------------------------------------------

    async def _mend_firewall(self) -> None:
        feed = self._bus.feed(RulesetTampered)
        try:
            async for event in feed:
                assert isinstance(event, RulesetTampered)
                log.warning("%s changed volt's firewall tables", event.by or "somebody")
                try:
                    await self._firewall.repair(event)
                    self._revoker.look_again(self._registry.snapshot)
                except VoltError as error:
                    log.error("cannot load the firewall again: %s", error)
        finally:
            feed.close()

    async def _try_enforcement(self) -> None:
        self._enforces = await enforces_within_bridge()
        self._tried_enforcement.set()
        if not self._enforces:
            log.warning(NOT_ENFORCED)

    async def _enforces_policies(self) -> bool:
        """Whether policies hold within one bridge."""
        await self._tried_enforcement.wait()
        return self._enforces is True

    def _concerns(self) -> list[str]:
        """What keeps firewall and names from doing as they are asked, in sentences."""
        found = [
            f"{each} drops volt's traffic; to heal: {'; '.join(each.commands)}"
            + (f" ({each.hint})" if each.hint else "")
            for each in self._coexistence.drops
        ]
        found += self._reconciler.strangers.reasons
        found += self._names.loops
        if self._ingress is not None:
            found += self._ingress.problems()
        if self._enforces is False:
            found.append(NOT_ENFORCED)
        return [*found, self._default.concern] if self._default.concern else found

    async def _patrol(self) -> None:
        while True:
            await anyio.sleep(PATROL)
            try:
                await self._edge.look_again(self._bridges())
            except VoltError as error:
                log.error("%s", error.message)
            self._reconciler.mark_all()

    async def _feed_watchdog(self) -> None:
        while True:
            self._manager.notify(watchdog=1)
            await anyio.sleep(self._manager.watchdog or 1.0)

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
            await self._serving.wait()
        parts = self._parts(await self._load_ingress())
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
            surroundings=self._surroundings(),
            is_up=self._started,
            state=lambda: self._state,
            upstreams=self._upstreams,
            concerns=self._concerns,
            enforces_policies=self._enforces_policies,
            cut=self._connections_cut,
            reload=self._reload,
            reset=self._reset_everything,
            switch=self._switch,
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

    def _upstreams(self) -> list[str] | None:
        section = self._config.network.dns
        return [str(each) for each in section.upstream] if section.enabled else None

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
            reopen=self._open_networks,
            after=self._look_after_rest,
        )
        return Succession(household, self._inheritance)

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

    async def _try_upgrade(self) -> None:
        with suppress(VoltError):  # the log has it
            await self._upgrade(messages.Upgrade())

    # ---- reload and reset -----------------------------------------------------------------------

    def _on_signal(self, work: Callable[[], Coroutine[None, None, object]]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _try_reload(self) -> None:
        try:
            await self._reload()
        except VoltError as error:
            log.error("not reloaded: %s", "; ".join(error.message.splitlines()))

    async def _reload(self) -> messages.Reloaded:
        """Read the configuration again; a wrong file changes nothing."""
        self._manager.reloading()
        try:
            path = Path(self._options.config)
            fresh = await asyncio.to_thread(load, path, required=self._options.config_named)
            changes = differences(self._config, fresh)
            self._config = keep_for_restart(self._config, fresh)
            self._names.configure(dns_settings(self._config))
            self._dhcp.configure(dhcp_settings(self._config))
            self._reconciler.ports.resolver = resolver(self._config)
            ingress = await self._load_ingress()
            ingress.configure(self._ingress_settings())
            await self._put_host_policy()
            await ingress.settled()
            await self._lifecycle.join_default()
            self._reconciler.mark_all()
        finally:
            self._manager.notify(ready=1)
        for path_of_key in changes.needs_restart:
            log.warning("%s changed: it takes effect at the next start", path_of_key)
        log.info("reloaded", extra={"fields": {"changed": list(changes.live)}})
        return messages.Reloaded(changed=[*changes.live], restart_needed=[*changes.needs_restart])

    def _ingress_settings(self) -> IngressSettings:
        settings = IngressSettings.of(self._config)
        enabled = settings.ports.enabled and self._switches.is_on("ingress")
        return replace(settings, ports=replace(settings.ports, enabled=enabled))

    async def _switch(self, params: messages.Switch) -> messages.Switched:
        """Switch a part, and say how it is. Raises Refused where the configuration is against."""
        async with self._switching:
            if params.on is not None:
                check_switchable(params.part, params.on, self._config)
                self._switches.put(params.part, params.on)
                await self._follow_switch(params.part, params.on)
        on = self._switches.is_on(params.part)
        ports = (await self._load_ingress()).ports
        listening = self._names.listening if params.part == "dns" else ports
        detail = state_of(params.part, on, listening)
        return messages.Switched(part=params.part, on=on, detail=detail)

    async def _follow_switch(self, part: messages.Part, on: bool) -> None:
        if part == "ingress":
            ingress = await self._load_ingress()
            ingress.configure(self._ingress_settings())
            await ingress.settled()
            if not on:
                await ingress.suspend()
        elif on:
            self._open_networks()
        else:
            for name in self._registry.snapshot.networks:
                self._names.close_network(name)

    async def _reset_everything(self, purge: bool) -> messages.ResetReport:
        """Stop working, take everything out of the kernel, say so, and end."""
        if self._reset is None:
            self._purge = purge
            self._reset = asyncio.get_running_loop().create_future()
            self._stop.set()
        return await asyncio.shield(self._reset)

    async def _reset_if_asked(self) -> None:
        if self._reset is None:
            return
        from . import removal

        await self._dhcp.close()
        snapshot = self._registry.snapshot
        report = await removal.remove_everything(
            self._edge,
            self._firewall,
            self._store,
            [*snapshot.former_settings.values()],
            snapshot.instances.values(),
        )
        if self._purge:
            await self._store.close()
            report = removal.without_store(report, Path(self._options.state_dir))
        self._reset.set_result(report)
        await asyncio.sleep(0)


def _ingress_class() -> type[Ingress]:
    from .ingress.server import Ingress

    return Ingress


def _control_plane(parts: Parts) -> ControlPlane:
    from .control_plane import ControlPlane

    return ControlPlane(parts)


class _Leaver:
    """A server of all networks as a follower: it also leaves those that are gone."""

    def __init__(self, server: NameServer | DhcpServer) -> None:
        self._server = server

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        self._server.follow(old, new, change)
        for each in change.delete:
            if isinstance(each, Network) and each.name not in new.networks:
                self._server.close_network(each.name)


def dns_settings(config: Config) -> DnsSettings:
    section = config.network.dns
    return DnsSettings(
        upstreams=tuple((str(each.address), each.port) for each in section.upstream),
        search_domains=section.search_domains,
        forward_isolated=section.forward_isolated,
    )


def dhcp_settings(config: Config) -> DhcpSettings:
    section = config.network
    return DhcpSettings(
        lease_time=section.dhcp.lease_time,
        names=section.dns.enabled,
        search_domains=section.dns.search_domains,
    )


def resolver(config: Config) -> Resolver:
    section = config.network.dns
    return Resolver(enabled=section.enabled, search_domains=section.search_domains)


def keep_for_restart(old: Config, new: Config) -> Config:
    """`new` with the keys that a running agent cannot change as they are in `old`."""
    network = replace(
        new.network,
        default_bridge=old.network.default_bridge,
        default_subnet=old.network.default_subnet,
        mtu=old.network.mtu,
        dns=replace(new.network.dns, enabled=old.network.dns.enabled),
        dhcp=replace(new.network.dhcp, enabled=old.network.dhcp.enabled),
    )
    return replace(new, network=network, status=old.status)
