"""The machines of systemd-machined (systemd-nspawn, and whatever else registers there).

They belong to the network namespace in which PID 1 lives: an agent elsewhere leaves them alone.
Without D-Bus or machined containers are still seen by their bridge ports (`ports`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..bus import Bus
from ..kernel.edge import Edge
from ..kernel.namespaces import identity
from ..model.workload import Instance
from .lives import Lives, owners_first
from .machine_bus import Hint, Machine, MachineBus, NoMachinesError

log = logging.getLogger(__name__)

# Seconds from one try to reach the bus to the next, doubled each time.
RETRY_FIRST, RETRY_LAST = 0.5, 30.0
# Names to look at; when more come in between, all machines are looked at.
HINTS_MAX = 1024

OWN_NETWORK, FIRST_NETWORK = "/proc/self/ns/net", "/proc/1/ns/net"


class Machined:
    """Publishes a start for each machine, and a stop when it goes."""

    def __init__(
        self,
        bus: Bus,
        edge: Edge,
        connect: Callable[[Hint], Awaitable[MachineBus]] = MachineBus.open,
        proc: Path = Path("/proc"),
    ) -> None:
        self._edge, self._connect, self._proc = edge, connect, proc
        self._lives = Lives(bus)  # by machine name
        self._bus: MachineBus | None = None
        self._hints: dict[str, None] = {}  # names to look at, in the order in which they came
        self._look_at_all = False
        self._hinted = asyncio.Event()
        self._said: str | None = None

    def __repr__(self) -> str:
        state = "connected" if self._bus is not None else "not connected"
        return f"<Machined [{state}, {len(self._lives.names)} machines]>"

    async def start(self) -> None:
        """Report what runs, if machined can be asked."""
        if self._is_elsewhere():
            self._say("machines of systemd-machined live in another network namespace")
            return
        try:
            await self._open()
        except NoMachinesError as error:
            await self._lost(error)

    async def run(self) -> None:
        """Watch; connect again whenever the connection is lost. Work until cancelled."""
        if self._is_elsewhere():
            return
        delay = RETRY_FIRST
        while True:
            try:
                if self._bus is None:
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, RETRY_LAST)
                    await self._open()
                delay = RETRY_FIRST
                await self._act_on_hints()
            except NoMachinesError as error:
                await self._lost(error)

    async def close(self) -> None:
        if self._bus is not None:
            await self._bus.close()

    def _is_elsewhere(self) -> bool:
        own, first = identity(OWN_NETWORK), identity(FIRST_NETWORK)
        return first is not None and own != first

    # ---- the connection -------------------------------------------------------------------------

    async def _open(self) -> None:
        self._bus = await self._connect(self._hint)
        await self._scan()
        self._say("machines of systemd-machined are seen")

    async def _lost(self, error: NoMachinesError) -> None:
        """The machines run on, as far as anybody knows: nothing is reported about them."""
        if self._bus is not None:
            await self._bus.close()
            self._bus = None
        self._say(f"machines of systemd-machined are not seen: {error}")

    def _say(self, text: str) -> None:
        if text != self._said:
            log.info("%s", text)
        self._said = text

    def _hint(self, name: str | None) -> None:
        if name is None or len(self._hints) >= HINTS_MAX:
            self._look_at_all = True
        else:
            self._hints[name] = None
        self._hinted.set()

    async def _act_on_hints(self) -> None:
        """Until the connection is lost: then it raises NoMachinesError."""
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            if self._look_at_all:
                await self._scan()
            while self._hints:
                name = next(iter(self._hints))
                del self._hints[name]
                await self._look_at(name)

    # ---- machines -------------------------------------------------------------------------------

    async def _scan(self) -> None:
        assert self._bus is not None
        self._look_at_all = False
        self._hints.clear()
        present = await self._bus.names()
        for name in set(self._lives.names) - set(present):
            self._lives.ended(name)
        for name in owners_first(present):
            await self._look_at(name)

    async def _look_at(self, name: str) -> None:
        assert self._bus is not None
        machine = await self._bus.describe(name)
        if machine is None or machine.is_closing or machine.kind == "host":
            self._lives.ended(name)
            return
        # The runtime plugs its links before it registers: afterwards the mirror has them.
        await self._edge.settle()
        life = self._instance(machine)
        present = self._lives.get(name)
        if present is None or present.identity != life.identity:
            self._lives.began(name, life)

    def _instance(self, machine: Machine) -> Instance:
        path = self._proc / str(machine.leader) / "ns/net"
        network = identity(str(path))
        is_private = network is not None and network != identity(OWN_NETWORK)
        is_container = machine.kind == "container"
        return Instance(
            name=machine.name,
            kind="container" if is_container else "vm",
            runtime="machined",
            identity=f"{machine.leader}.{network}",
            namespace=str(path) if is_container and is_private else None,
            leader=machine.leader,
            bridged=any(self._is_on_bridge(index) for index in machine.interfaces),
        )

    def _is_on_bridge(self, index: int) -> bool:
        """systemd-nspawn --network-bridge names the bridge itself, others may name their port."""
        link = self._edge.mirror.by_index.get(index)
        return link is not None and (link.kind == "bridge" or link.master != 0)
