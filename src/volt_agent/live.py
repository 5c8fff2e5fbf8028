"""What changes while the agent runs: the configuration, read again, and which parts are on."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

from .config import load
from .control.messages import agent as messages
from .dns.server import NameServer
from .errors import VoltError
from .gateways import Gateways
from .host_doors import HostDoors
from .late_ingress import LateIngress
from .networks.reconcile import Reconciler
from .options import AgentOptions
from .runtimes.lifecycle import Lifecycle
from .service import ServiceManager
from .settings import Settings
from .switches import check_switchable, state_of

log = logging.getLogger(__name__)


class Reloader:
    """`volt agent reload` and SIGHUP."""

    def __init__(
        self,
        options: AgentOptions,
        settings: Settings,
        manager: ServiceManager,
        gateways: Gateways,
        ingress: LateIngress,
        doors: HostDoors,
        reconciler: Reconciler,
        lifecycle: Lifecycle,
    ) -> None:
        self._options, self._settings, self._manager = options, settings, manager
        self._gateways, self._ingress, self._doors = gateways, ingress, doors
        self._reconciler, self._lifecycle = reconciler, lifecycle
        self._by_signal: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """To SIGHUP, on the loop that runs."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_signal)

    def _on_signal(self) -> None:
        task = asyncio.get_running_loop().create_task(self._try(), name="reload")
        self._by_signal.add(task)
        task.add_done_callback(self._by_signal.discard)

    async def _try(self) -> None:
        try:
            await self.reload()
        except VoltError as error:
            log.error("not reloaded: %s", "; ".join(error.message.splitlines()))

    async def reload(self) -> messages.Reloaded:
        """Read the configuration again. Raises VoltError; a wrong file changes nothing."""
        self._manager.reloading()
        try:
            path = Path(self._options.config)
            fresh = await asyncio.to_thread(load, path, required=self._options.config_named)
            changes = self._settings.take(fresh)
            await self._tell_all()
        finally:
            self._manager.notify(ready=1)
        for path_of_key in changes.needs_restart:
            log.warning("%s changed: it takes effect at the next start", path_of_key)
        log.info("reloaded", extra={"fields": {"changed": list(changes.live)}})
        return messages.Reloaded(changed=[*changes.live], restart_needed=[*changes.needs_restart])

    async def _tell_all(self) -> None:
        self._gateways.configure()
        self._reconciler.ports.resolver = self._settings.resolver
        ingress = await self._ingress.configure()
        await self._doors.update()
        await ingress.settled()
        await self._lifecycle.join_default()
        self._reconciler.mark_all()


class Switcher:
    """`volt agent switch`: what volt-dns.service and volt-ingress.service do."""

    def __init__(
        self,
        settings: Settings,
        names: NameServer,
        gateways: Gateways,
        ingress: LateIngress,
        reconciler: Reconciler,
    ) -> None:
        self._settings, self._names, self._gateways = settings, names, gateways
        self._ingress, self._reconciler = ingress, reconciler
        self._one_at_a_time = asyncio.Lock()

    async def switch(self, params: messages.Switch) -> messages.Switched:
        """Switch a part, and say how it is. Raises Refused where the configuration is against."""
        part, switches = params.part, self._settings.switches
        async with self._one_at_a_time:
            if params.on is not None:
                check_switchable(part, params.on, self._settings.config)
                switches.put(part, params.on)
                await self._follow(part, params.on)
        on = switches.is_on(part)
        ports = (await self._ingress.load()).ports
        listening = self._names.listening if part == "dns" else ports
        return messages.Switched(part=part, on=on, detail=state_of(part, on, listening))

    async def _follow(self, part: messages.Part, on: bool) -> None:
        if part == "ingress":
            ingress = await self._ingress.configure()
            await ingress.settled()
            if not on:
                await ingress.suspend()
        elif not on:
            self._gateways.close_names()
        elif not self._gateways.open_all():
            self._reconciler.mark_all()
