"""`volt ingress serve`: an agent with the ingress and the control socket, and nothing else.

It needs no rights but for ports below 1024. It sees no workloads: those that its state directory
knows are taken to be at their addresses, and health checks tell whether they are there.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from msgspec import Struct
from msgspec.structs import replace

from . import __version__
from .bus import Bus
from .config import Config, differences, load
from .control.api import Api, Probes
from .control.event_log import EventLog
from .control.handlers import Handlers
from .control.handlers.certificate import CertificateHandlers
from .control.handlers.ingress import IngressHandlers
from .control.loop_lag import LoopLag
from .control.messages import agent as messages
from .control.methods import METHODS
from .control.metrics import Metrics
from .control.peer import access_of_this_process, volt_group
from .control.server import ControlServer
from .control.sockets import bind_control_socket
from .errors import Failed, Refused
from .handover.holder import holder_beside
from .ingress.server import Ingress
from .ingress.settings import CERTIFICATES_NAME, IngressSettings
from .options import AgentOptions
from .process import resident_bytes, run_agent, started
from .registry import Registry
from .service import ServiceManager
from .store import SqliteStore
from .supervise import start as start_task

log = logging.getLogger(__name__)


class Ports(Struct, frozen=True):
    """The ports of the command line; None: those of the configuration."""

    http: int | None = None
    https: int | None = None

    def over(self, config: Config) -> Config:
        ingress = config.ingress
        return replace(
            config,
            ingress=replace(
                ingress,
                enabled=True,
                http_port=self.http or ingress.http_port,
                https_port=self.https or ingress.https_port,
            ),
        )


def run(options: AgentOptions, ports: Ports) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Raises VoltError."""
    return run_agent(options, lambda config: IngressOnly(options, config, ports).run())


class IngressOnly:
    """One run. `run` is its whole life."""

    def __init__(self, options: AgentOptions, config: Config, ports: Ports) -> None:
        self._options, self._ports = options, ports
        self._config = ports.over(config)
        self._began = time.monotonic()
        self._stop, self._is_stopping = asyncio.Event(), False
        self._reloads: set[asyncio.Task[messages.Reloaded]] = set()
        self._bus, self._metrics = Bus(), Metrics()
        self._lag = LoopLag(self._metrics.observe_lag)
        self._store = SqliteStore(Path(options.state_dir))
        self._registry = Registry(self._store)
        certificates = Path(options.state_dir) / CERTIFICATES_NAME
        self._ingress = Ingress(
            self._settings(),
            ServiceManager(),
            self._bus,
            certificates,
            observes=False,
            holder=holder_beside(options.socket),
        )

    async def run(self) -> int:
        """Start, serve until told to stop, drain; returns the exit status."""
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            control = bind_control_socket(self._options.socket, volt_group())
            stack.callback(control.close)
            stack.push_async_callback(self._store.close)
            await self._registry.open()
            async with anyio.create_task_group() as tasks:
                self._open_ports()
                self._registry.add_follower("ingress", self._ingress)
                await self._ingress.start(self._registry.snapshot, _no_firewall)
                start_task(tasks, "control", ControlServer(self._api(), [control]).serve)
                start_task(tasks, "ingress", self._ingress.run)
                start_task(tasks, "loop lag", self._lag.run)
                log.info("ready", extra={"fields": {"ports": list(self._ingress.ports)}})
                await self._stop.wait()
                self._is_stopping = True
                await self._ingress.close()
                tasks.cancel_scope.cancel()
        log.info("stopped")
        return 0

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)

    def _settings(self) -> IngressSettings:
        return IngressSettings.of(self._config, always=True)

    def _open_ports(self) -> None:
        """Raises Failed where waiting would not help."""
        self._ingress.open(self._registry.snapshot)
        for door in self._ingress.doors():
            error = self._ingress.refusal(door.scheme)
            if error is not None and error.errno in (errno.EACCES, errno.EPERM):
                raise Failed(
                    f"cannot listen on port {door.port}: ports below 1024 are for root",
                    "volt ingress serve --http-port 8080 --https-port 8443",
                )

    # ---- control --------------------------------------------------------------------------------

    def _api(self) -> Api:
        handlers: Handlers = {
            **dict.fromkeys(METHODS.keys() - {messages.STATUS.name}, _not_here),
            **IngressHandlers(self._registry, self._ingress, self._bus).handlers(),
            **CertificateHandlers(self._registry, self._ingress).handlers(),
            messages.RELOAD.name: self._reload,
        }
        return Api(
            handlers,
            Probes(self._is_ready, self._status, self._render_metrics),
            EventLog(self._bus),
            access_of_this_process(),
            observe=self._metrics.observe_call,
        )

    def _render_metrics(self) -> bytes:
        return self._metrics.render() + self._ingress.metrics()

    def _is_ready(self) -> tuple[bool, list[str]]:
        return (False, ["the agent is stopping"]) if self._is_stopping else (True, [])

    def _status(self) -> messages.AgentStatus:
        problems, uptime = self._ingress.problems(), time.monotonic() - self._began
        usual: messages.State = "stopping" if self._is_stopping else "ready"
        return messages.AgentStatus(
            version=__version__,
            pid=os.getpid(),
            state="degraded" if problems and usual == "ready" else usual,
            started=started(uptime),
            uptime=round(uptime, 3),
            networks=0,
            workloads=0,
            running=0,
            config=self._options.config,
            state_dir=self._options.state_dir,
            socket=self._options.socket,
            loop_lag_p99_ms=round(self._lag.percentile(0.99) * 1e3, 2),
            memory=resident_bytes(),
            problems=problems,
        )

    # ---- reload ---------------------------------------------------------------------------------

    def _reload_on_signal(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload(None), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[messages.Reloaded]) -> None:
        self._reloads.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("not reloaded: %s", task.exception())

    async def _reload(self, params: object) -> messages.Reloaded:
        path = Path(self._options.config)
        fresh = await asyncio.to_thread(load, path, required=self._options.config_named)
        fresh = self._ports.over(fresh)
        changes = differences(self._config, fresh)
        self._config = fresh
        self._ingress.configure(self._settings())
        await self._ingress.reload()
        changed = [each for each in changes.live if each.startswith("ingress.")]
        return messages.Reloaded(changed=changed, restart_needed=[])


async def _not_here(params: object) -> object:
    raise Refused(
        "only the ingress runs here, as `volt ingress serve`", "`volt agent run` does all the rest"
    )


async def _no_firewall() -> None:
    """What listens is open as far as the host's own firewall lets it be."""
