"""The world with a firewall in its host, and the comparison of what is said with what happens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.firewall.property.packets import Probe
from tests.firewall.property.probes import Fate, Probes
from tests.firewall.property.reading import Reading, model, read
from tests.firewall.property.states import ATTEMPTS, State
from tests.firewall.property.world import World
from tests.support.namespaces import network_namespace
from volt_agent.bus import Bus
from volt_agent.firewall.plane import Firewall
from volt_agent.kernel.netlink import Request
from volt_agent.kernel.netlink_socket import NetlinkSocket
from volt_agent.kernel.nft import Nft
from volt_agent.model.host import HostPolicy
from volt_agent.model.snapshot import Change, Object, Snapshot

# What somebody says will become of a probe.
Judge = Callable[[Snapshot, Probe], Reading]
JUDGES: Mapping[str, Judge] = {"`policy test`": model, "the plain reading": read}

_NETFILTER = 12  # NETLINK_NETFILTER, for which Python 3.11 has no name
_DELETE_FLOWS = 1 << 8 | 2  # IPCTNL_MSG_CT_DELETE; without a tuple it deletes all


class Bench:
    """The world with a firewall in its host."""

    def __init__(self) -> None:
        self.attempts = 0
        self.judges: dict[str, Judge] = dict(JUDGES)
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def _build(self) -> None:
        enter = self._stack.callback
        self.runner = asyncio.Runner()
        enter(self.runner.close)
        self.world = World()
        enter(self.world.close)
        self.probes = Probes(self.world)
        enter(self.probes.close)
        nft = Nft()
        enter(lambda: self.runner.run(nft.close()))
        self.runner.run(self._move_in(nft))
        with network_namespace(Path(self.world.path("host"))):
            self._flows = NetlinkSocket(_NETFILTER)
        enter(self._flows.close)
        self.firewall = Firewall(nft, Bus())
        self.snapshot = State(HostPolicy()).snapshot()
        self.runner.run(self.firewall.start(self.snapshot))
        self.apply(Change(put=(self.snapshot.host,)))  # settled

    def load(self, state: State) -> Snapshot:
        """Bring the kernel from the last state to this one, as an agent would: by a change."""
        self.apply(_difference(self.snapshot, state.snapshot()))
        self.forget()
        return self.snapshot

    def restore(self) -> None:
        """Load everything anew, as after a foreign flush."""
        self.runner.run(self.firewall.restore())
        self.forget()

    def disagreements(self) -> list[str]:
        """Every attempt of which a judge and the kernel say different things."""
        self.attempts += len(ATTEMPTS)
        fates = self.probes.attempt(ATTEMPTS)
        return [
            complaint
            for probe, fate in zip(ATTEMPTS, fates, strict=True)
            for complaint in _complaints(self.judges, self.snapshot, probe, fate)
        ]

    def forget(self) -> None:
        """Flush every tracked connection."""
        self._flows.request(Request(_DELETE_FLOWS, 0, bytes((socket.AF_INET, 0, 0, 0))))

    def apply(self, change: Change) -> None:
        """Put the kernel one change further."""
        self.snapshot = self.snapshot.apply(change)
        self.runner.run(self.firewall.apply(self.snapshot, change))

    async def _move_in(self, nft: Nft) -> None:
        """libnftables works in the namespace of the thread that uses it first."""
        with network_namespace(Path(self.world.path("host"))):
            await nft.listing("inet", "volt")


def _complaints(
    judges: Mapping[str, Judge], snapshot: Snapshot, probe: Probe, fate: Fate
) -> Iterator[str]:
    if fate.arrived_at is not None and not fate.answered:
        yield f"{probe}: arrived at {fate.arrived_at}, and the answer did not come back"
    for who, judge in judges.items():
        reading = judge(snapshot, probe)
        if fate.arrived_at != reading.arrives_at:
            seen, said = (each or "nowhere" for each in (fate.arrived_at, reading.arrives_at))
            yield f"{probe}: arrived {seen}; {who} says {said} ({reading.by})"


def _difference(old: Snapshot, new: Snapshot) -> Change:
    before, after = _objects(old), _objects(new)
    gone = tuple(each for key, each in before.items() if key not in after)
    come = tuple(each for key, each in after.items() if before.get(key) != each)
    return Change(put=come, delete=gone)


def _objects(snapshot: Snapshot) -> dict[tuple[str, str], Object]:
    tables = (
        {"host": snapshot.host}, snapshot.networks, snapshot.workloads, snapshot.connections,
        snapshot.instances, snapshot.ports, snapshot.rules, snapshot.policies, snapshot.forwards,
    )  # fmt: skip
    return {(type(each).__name__, key): each for table in tables for key, each in table.items()}
