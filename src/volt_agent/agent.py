"""The composition root: makes the parts, starts them in order and stops them in the other.

The order is that of dependence: store, kernel, firewall, networks, runtimes, names, ingress,
control. The kernel's data path needs none of them: it keeps working while the agent is down, and a
start changes nothing that is already right.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
from msgspec import Struct
from msgspec.structs import replace

from . import __version__, removal
from .bus import Bus
from .config import Config, differences, load
from .control.api import Api, Probes
from .control.event_log import EventLog
from .control.handlers import Handler, Handlers
from .control.handlers.agent import AgentHandlers
from .control.handlers.firewall import FirewallHandlers
from .control.handlers.ingress import IngressHandlers
from .control.handlers.names import NameHandlers
from .control.handlers.network import NetworkHandlers, surroundings
from .control.handlers.policy import PolicyHandlers
from .control.handlers.port import PortHandlers
from .control.handlers.status import HostStatus
from .control.handlers.workload import WorkloadHandlers
from .control.loop_lag import LoopLag
from .control.messages import agent as messages
from .control.metrics import Metrics
from .control.peer import access_of_this_process, volt_group
from .control.server import ControlServer
from .control.sockets import (
    Listener,
    bind_control_socket,
    bind_status_socket,
    inherited_control_socket,
)
from .dns.server import NameServer
from .dns.settings import ZONE, DnsSettings
from .errors import VoltError
from .events import RulesetTampered, WorkloadStarted
from .firewall.coexistence import Coexistence
from .firewall.plane import Firewall
from .firewall.revoker import Revoker
from .host_inbound import host_policy
from .ingress.server import Ingress
from .ingress.settings import IngressSettings
from .kernel.claim import claim_namespace
from .kernel.enforcement import enforces_within_bridge
from .kernel.host import sshd_ports
from .kernel.linux import LinuxEdge
from .kernel.nft import Nft
from .kernel.pyroute import codec
from .kernel.tamper import TamperWatch
from .model.network import Network
from .model.snapshot import Change, Snapshot
from .networks.agenda import Rank
from .networks.decide import Surroundings, create_network
from .networks.former import check_links_known
from .networks.ports import Resolver
from .networks.reconcile import Reconciler
from .networks.resolvconf import ResolvConf
from .options import AgentOptions
from .process import resident_bytes, run_agent, started
from .registry import Registry
from .rules.keeper import ConfirmKeeper
from .runtimes.lifecycle import Lifecycle
from .runtimes.netns import NamedNamespaces
from .runtimes.ports import BridgePorts
from .service import ServiceManager
from .store import SqliteStore
from .supervise import start as start_task

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
NOT_ENFORCED = "this kernel does not hold policies within one bridge: modprobe br_netfilter"
CONTROL_SOCKET = "control"  # its name among the sockets of the service manager


def run(options: AgentOptions) -> int:
    """`volt agent run`: work until SIGTERM or SIGINT; returns the exit status.

    Raises VoltError if the agent cannot start or go on.
    """
    return run_agent(options, lambda config: Agent(options, config).run())


class Agent:
    """One agent, one run. `run` is its whole life."""

    def __init__(self, options: AgentOptions, config: Config) -> None:
        self._options, self._config = options, config
        self._began = time.monotonic()
        self._state: messages.State = "starting"
        self._started, self._stop = asyncio.Event(), asyncio.Event()
        self._reset: asyncio.Future[messages.ResetReport] | None = None
        self._purge = False
        self._answers_names = False
        self._manager = ServiceManager()
        self._bus = Bus()
        self._metrics = Metrics()
        self._lag = LoopLag(self._metrics.observe_lag)
        self._store = SqliteStore(Path(options.state_dir))
        self._registry = Registry(self._store)
        self._edge = LinuxEdge(self._bus)
        self._nft = Nft()
        self._firewall = Firewall(self._nft, self._bus)
        self._coexistence = Coexistence(self._nft, self._bridges)
        self._enforces: bool | None = None  # within one bridge; None: not tried yet
        self._tried_enforcement = asyncio.Event()
        self._revoker = Revoker(self._edge)
        self._keeper = ConfirmKeeper(self._registry, self._bus)
        self._names = NameServer(dns_settings(config), self._manager)
        self._ingress = Ingress(IngressSettings.of(config), self._manager, self._bus)
        self._reconciler = Reconciler(
            self._registry, self._edge, self._bus, ResolvConf(), self._open_names
        )
        self._lifecycle = Lifecycle(
            self._registry,
            self._bus,
            self._reconciler.ports.effects,
            lambda: self._config.network.auto_connect,
            config.network.default_bridge,
        )
        self._host_status = HostStatus(
            self._registry,
            self._edge,
            self._reconciler,
            self._firewall,
            self._names,
            self._upstreams,
            self._concerns,
        )

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, work until told to stop, stop in order; returns the exit status."""
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            listeners = await self._take_what_is_ours(stack)
            await self._start_kernel(stack)
            check_links_known(self._registry.snapshot, self._edge.mirror, self._options.state_dir)
            async with anyio.create_task_group() as outer:
                self._start_control(outer, listeners)
                async with anyio.create_task_group() as planes:
                    await self._start_planes(planes, stack)
                    await self._stop.wait()
                    self._state = "stopping"
                    self._manager.notify(stopping=1)
                    await self._ingress.close()
                    planes.cancel_scope.cancel()
                await self._reset_if_asked()
                outer.cancel_scope.cancel()
        log.info("stopped")
        return 0

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._reloads: set[asyncio.Task[messages.Reloaded | None]] = set()
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)

    async def _take_what_is_ours(self, stack: AsyncExitStack) -> list[Listener]:
        """The control socket and the store: there can be one agent only."""
        stack.enter_context(claim_namespace())
        listeners = self._bind()
        for each in listeners:
            stack.callback(each.close)
        stack.push_async_callback(self._store.close)
        await self._registry.open()
        return listeners

    def _bind(self) -> list[Listener]:
        inherited = self._manager.inherited(CONTROL_SOCKET)
        control = (
            inherited_control_socket(inherited)
            if inherited is not None
            else bind_control_socket(self._options.socket, volt_group())
        )
        listen = self._config.status.listen
        if listen is None:
            return [control]
        try:
            return [control, bind_status_socket(str(listen))]
        except VoltError as error:
            log.error("%s; the control socket serves the same", error.message)
            return [control]

    async def _start_kernel(self, stack: AsyncExitStack) -> None:
        await self._edge.start()
        stack.push_async_callback(self._edge.close)
        stack.push_async_callback(self._nft.close)

    async def _start_planes(self, planes: anyio.abc.TaskGroup, stack: AsyncExitStack) -> None:
        """Firewall before links, links before names; each finds the former one done."""
        self._bus.subscribe(WorkloadStarted, self._log_start)
        await self._make_default_network()
        self._ingress.open(self._registry.snapshot)
        await self._put_host_policy(settling=False)
        await self._keeper.start()
        await self._start_firewall(planes, stack)
        self._registry.add_follower(None, self._revoker)
        start_task(planes, "revoker", self._revoker.run)
        start_task(planes, "enforcement", self._try_enforcement)
        start_task(planes, "coexistence", self._coexistence.run)
        self._registry.add_follower(None, self._keeper)
        self._registry.add_follower("dns", _Names(self._names))
        self._registry.add_follower("ingress", self._ingress)
        self._registry.add_follower(None, self._reconciler)
        self._reconciler.ports.resolver = resolver(self._config)
        self._names.start(self._registry.snapshot)
        stack.push_async_callback(self._names.close)
        await self._start_runtimes(stack)
        start_task(planes, "firewall mender", self._mend_firewall)
        start_task(planes, "lifecycle", self._lifecycle.run)
        # What runs has to be known first: the port of a workload that does not run is taken away.
        await self._lifecycle.settled()
        self._reconciler.mark_all()
        start_task(planes, "reconciler", self._reconciler.run)
        start_task(planes, "unconfirmed changes", self._keeper.run)
        await self._answer_names()
        await self._reconciler.settled_all(Rank.PORT)
        await self._ingress.start(self._put_host_policy)
        start_task(planes, "ingress", self._ingress.run)
        start_task(planes, "patrol", self._patrol)
        if self._manager.watchdog is not None:
            start_task(planes, "watchdog", self._feed_watchdog)
        self._say_ready()
        await asyncio.to_thread(codec)

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
            planes.start_soon(self._settle, name="settle")

    async def _settle(self) -> None:
        await anyio.sleep(SETTLE)
        await self._put_host_policy(settling=False)
        log.info("the host's inbound default is in force")

    async def _start_runtimes(self, stack: AsyncExitStack) -> None:
        for runtime in (
            BridgePorts(self._bus, self._edge.mirror, self._snapshot),
            NamedNamespaces(self._bus),
        ):
            await runtime.start()
            stack.push_async_callback(runtime.close)

    async def _answer_names(self) -> None:
        """Open the name server once the ports of what runs are known, or after NAMES_WAIT."""
        with anyio.move_on_after(NAMES_WAIT):
            await self._reconciler.settled_all(Rank.PORT)
        self._answers_names = self._config.network.dns.enabled
        for network in self._registry.snapshot.networks.values():
            link = self._edge.mirror.links.get(network.bridge)
            if link is not None:
                try:
                    self._open_names(network, link.index)
                except VoltError:
                    self._reconciler.mark_all()  # it tries again, and says what is wrong
        self._manager.close_unclaimed()

    def _open_names(self, network: Network, ifindex: int) -> None:
        if self._answers_names:
            self._names.open(network, ifindex)

    def _say_ready(self) -> None:
        self._state = "ready"
        self._started.set()
        gc.freeze()  # what is there now stays: full collections need not look at it again
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

    async def _make_default_network(self) -> None:
        """volt0, on the very first start; a clash with the host is said and lived with."""
        section = self._config.network
        made = self._registry.snapshot.networks.get(section.default_bridge)
        if made is not None:
            if made.subnet != section.default_subnet:
                log.warning(
                    "%s keeps its subnet %s: network.default_subnet counts when it is first made",
                    made.name,
                    made.subnet,
                )
            return
        around = await surroundings(self._surroundings(), self._edge)
        try:
            await self._registry.commit(
                lambda snapshot: create_network(
                    snapshot, around, section.default_bridge, str(section.default_subnet)
                )
            )
        except VoltError as error:
            log.error(
                "running without the default network %s: %s; set network.default_subnet in %s",
                section.default_bridge,
                error.message,
                self._options.config,
            )

    def _surroundings(self) -> Surroundings:
        section = self._config.network
        return Surroundings(section.default_bridge, section.default_subnet, section.mtu)

    async def _put_host_policy(self, settling: bool | None = None) -> None:
        """Have the firewall let in what is open now. `settling` None: as it is."""
        ports = await asyncio.to_thread(sshd_ports)

        def decide(snapshot: Snapshot) -> Change:
            settles = snapshot.host.settling if settling is None else settling
            section = self._config.network.firewall
            policy = host_policy(section, ports, settles, self._ingress.ports)
            return Change() if snapshot.host == policy else Change(put=(policy,))

        await self._registry.commit(decide)

    async def _warn_of_closed_ports(self) -> None:
        for each in await self._host_status.closed_ports():
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
        async for event in feed:
            assert isinstance(event, RulesetTampered)
            log.warning("%s changed volt's firewall tables", event.by or "somebody")
            try:
                await self._firewall.repair(event)
            except VoltError as error:
                log.error("cannot load the firewall again: %s", error)

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
        """What keeps the firewall from doing as it is asked, in sentences."""
        found = [
            f"{each} drops volt's traffic; to heal: {'; '.join(each.commands)}"
            + (f" ({each.hint})" if each.hint else "")
            for each in self._coexistence.drops
        ]
        found += self._ingress.problems()
        return [*found, NOT_ENFORCED] if self._enforces is False else found

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

    def _start_control(self, outer: anyio.abc.TaskGroup, listeners: list[Listener]) -> None:
        self._register_metrics()
        handlers: Handlers = {
            **NetworkHandlers(
                self._registry,
                self._edge,
                self._reconciler,
                self._bus,
                self._surroundings(),
                self._host_status.collect,
            ).handlers(),
            **FirewallHandlers(
                self._registry, self._firewall, self._bus, self._connections_cut
            ).handlers(),
            **PortHandlers(
                self._registry,
                self._bus,
                self._connections_cut,
                lambda: self._ingress.settings.ports,
            ).handlers(),
            **IngressHandlers(self._registry, self._ingress, self._bus).handlers(),
            **PolicyHandlers(
                self._registry,
                self._edge,
                self._firewall,
                self._bus,
                self._enforces_policies,
                self._connections_cut,
            ).handlers(),
            **NameHandlers(self._registry, self._names, self._bus).handlers(),
            **WorkloadHandlers(self._registry, self._reconciler, self._bus, ZONE).handlers(),
            **AgentHandlers(self._reload, self._reset_everything).handlers(),
        }
        api = Api(
            {name: partial(self._once_started, handler) for name, handler in handlers.items()},
            Probes(self._is_ready, self._status, self._render_metrics),
            EventLog(self._bus),
            access_of_this_process(),
            observe=self._metrics.observe_call,
        )
        start_task(outer, "control", ControlServer(api, listeners).serve)
        start_task(outer, "loop lag", self._lag.run)

    async def _connections_cut(self) -> None:
        """Wait until what the last changes no longer allow is cut, or for CUT_WAIT."""
        with anyio.move_on_after(CUT_WAIT):
            await self._revoker.settled()

    async def _once_started(self, handler: Handler, params: Struct) -> object:
        """A call that comes during the start waits for its end instead of failing."""
        await self._started.wait()
        return await handler(params)

    def _render_metrics(self) -> bytes:
        return self._metrics.render() + self._ingress.metrics()

    def _is_ready(self) -> tuple[bool, list[str]]:
        if self._state in ("starting", "stopping"):
            return False, [f"the agent is {self._state}"]
        problems = [f"{target}: {why}" for target, why in self._reconciler.problems.items()]
        return not problems, problems

    def _status(self) -> messages.AgentStatus:
        snapshot = self._registry.snapshot
        problems = [*self._is_ready()[1], *self._ingress.problems()]
        uptime = time.monotonic() - self._began
        degraded = self._state == "ready" and problems
        return messages.AgentStatus(
            version=__version__,
            pid=os.getpid(),
            state="degraded" if degraded else self._state,
            started=started(uptime),
            uptime=round(uptime, 3),
            networks=len(snapshot.networks),
            workloads=len({*snapshot.workloads, *snapshot.instances}),
            running=len(snapshot.instances),
            config=self._options.config,
            state_dir=self._options.state_dir,
            socket=self._options.socket,
            loop_lag_p99_ms=round(self._lag.percentile(0.99) * 1e3, 2),
            memory=resident_bytes(),
            problems=problems,
        )

    def _register_metrics(self) -> None:
        snapshot = self._snapshot
        gauge, counter = self._metrics.gauge, self._metrics.counter
        gauge("volt_networks", "Networks", lambda: len(snapshot().networks))
        gauge("volt_workloads_running", "Running workloads", lambda: len(snapshot().instances))
        gauge("volt_rules", "Firewall rules", lambda: len(snapshot().rules))
        gauge("volt_policies", "Network policies", lambda: len(snapshot().policies))
        gauge("volt_forwards", "Port forwards", lambda: len(snapshot().forwards))
        gauge("volt_routes", "Routes of the ingress", lambda: len(snapshot().routes))
        gauge("volt_ports", "Ports of workloads", lambda: len(snapshot().ports))
        gauge("volt_problems", "Unsolved problems", lambda: len(self._reconciler.problems))
        counter("volt_dns", "DNS events", self._names.counters.as_dict, "kind")

    def _snapshot(self) -> Snapshot:
        return self._registry.snapshot

    def _bridges(self) -> list[str]:
        return [each.bridge for each in self._snapshot().networks.values()]

    def _upstreams(self) -> list[str] | None:
        section = self._config.network.dns
        return [str(each) for each in section.upstream] if section.enabled else None

    # ---- reload and reset -----------------------------------------------------------------------

    def _reload_on_signal(self) -> None:
        task = asyncio.get_running_loop().create_task(self._try_reload(), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _try_reload(self) -> messages.Reloaded | None:
        try:
            return await self._reload()
        except VoltError as error:
            log.error("not reloaded: %s", "; ".join(error.message.splitlines()))
            return None

    async def _reload(self) -> messages.Reloaded:
        """Read the configuration again; a wrong file changes nothing."""
        self._manager.reloading()
        try:
            path = Path(self._options.config)
            fresh = await asyncio.to_thread(load, path, required=self._options.config_named)
            changes = differences(self._config, fresh)
            self._config = keep_for_restart(self._config, fresh)
            self._names.configure(dns_settings(self._config))
            self._reconciler.ports.resolver = resolver(self._config)
            self._ingress.configure(IngressSettings.of(self._config))
            await self._put_host_policy()
            await self._ingress.settled()
            await self._lifecycle.join_default()
            self._reconciler.mark_all()
        finally:
            self._manager.notify(ready=1)
        for path_of_key in changes.needs_restart:
            log.warning("%s changed: it takes effect at the next start", path_of_key)
        log.info("reloaded", extra={"fields": {"changed": list(changes.live)}})
        return messages.Reloaded(changed=[*changes.live], restart_needed=[*changes.needs_restart])

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
        report = await removal.remove_everything(self._edge, self._firewall)
        if self._purge:
            await self._store.close()
            report = removal.with_store(report, Path(self._options.state_dir))
        self._reset.set_result(report)
        await asyncio.sleep(0)


class _Names:
    """The name server as a follower: it also leaves networks that are gone."""

    def __init__(self, names: NameServer) -> None:
        self._names = names

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        self._names.follow(old, new, change)
        for each in change.delete:
            if isinstance(each, Network) and each.name not in new.networks:
                self._names.close_network(each.name)


def dns_settings(config: Config) -> DnsSettings:
    section = config.network.dns
    return DnsSettings(
        upstreams=tuple((str(each.address), each.port) for each in section.upstream),
        search_domains=section.search_domains,
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
