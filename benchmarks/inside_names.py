"""volt's name server alone, with as many names as asked for: `inside_names NAMES [UPSTREAM PORT]`.

A bridge takes 1,024 ports, so a hundred thousand names cannot be workloads that run; the server is
the agent's own, and follows a snapshot in which they do. It serves on the loopback device of the
private host that it is started in, says `ready`, and ends with its standard input. A number there
moves one name between two addresses that often; then it prints when each change began and was done
(monotonic), and how late the loop ran what was due meanwhile (seconds).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from volt_agent.control.loop_lag import LoopLag
from volt_agent.dns.server import NameServer
from volt_agent.dns.settings import DnsSettings
from volt_agent.model.network import Connection, Network
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Port
from volt_agent.process import COLLECT, settle
from volt_agent.service import ServiceManager

SUBNET = IPv4Network("10.64.0.0/14")
NETWORK = Network("many", "volt-many", SUBNET, SUBNET[1], 1500)
ASKER = SUBNET[2]  # where the load comes from: the address of `w0`
SWAPPED = "moves"
PLACES = (SUBNET[-3], SUBNET[-2])
_LOOPBACK = 1  # ifindex
# Between two changes: so long that each is asked for many times, and sees another part of the load.
PAUSE = 0.01
LAG_INTERVAL = 0.005


def name_of(number: int) -> str:
    return f"w{number}.volt.local"


def address_of(number: int) -> IPv4Address:
    return ASKER + number


def workload(name: str, address: IPv4Address) -> tuple[Object, Object]:
    """A workload that runs."""
    mac = "02:00:" + ":".join(f"{octet:02x}" for octet in address.packed)
    interface = f"vc-{name}"
    return (
        Connection(NETWORK.name, name, "container", address, mac, interface, 0),
        Port(NETWORK.name, name, interface, 2, True, address=address),
    )


def world(names: int) -> Snapshot:
    return Snapshot().apply(Change(put=(NETWORK, *_workloads(names))))


def _workloads(names: int) -> Iterator[Object]:
    for number in range(names):
        yield from workload(f"w{number}", address_of(number))


class Served:
    """The name server, and the snapshots between which it goes to and fro."""

    def __init__(self, names: int, upstreams: tuple[tuple[str, int], ...]) -> None:
        self._changes = [Change(put=workload(SWAPPED, place)) for place in PLACES]
        base = world(names)
        self._snapshots = [base.apply(change) for change in self._changes]
        self._server = NameServer(DnsSettings(upstreams=upstreams), ServiceManager())
        self._server.start(self._snapshots[1])
        self._server.open(NETWORK, _LOOPBACK)

    async def swap(self, rounds: int) -> list[tuple[float, float]]:
        """Move a name to and fro; when the server was told of each change, and when it had done.

        Monotonic. Making the next snapshot comes before: that is the registry's part.
        """
        times = []
        for number in range(rounds):
            await asyncio.sleep(PAUSE)
            to = number % 2
            began = time.monotonic()
            self._server.follow(self._snapshots[1 - to], self._snapshots[to], self._changes[to])
            times.append((began, time.monotonic()))
        return times


async def serve(names: int, upstreams: tuple[tuple[str, int], ...]) -> None:
    served, late = Served(names, upstreams), list[float]()
    gc.set_threshold(*COLLECT)  # these two as the agent does
    settle()
    watching = asyncio.create_task(LoopLag(late.append, interval=LAG_INTERVAL).run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print("ready", flush=True)
    while order := (await reader.readline()).decode().split():
        late.clear()
        times = await served.swap(int(order[0]))
        print(json.dumps({"changes": times, "lags": late}), flush=True)
    watching.cancel()


if __name__ == "__main__":
    _, count, *upstream = sys.argv
    asyncio.run(serve(int(count), ((upstream[0], int(upstream[1])),) if upstream else ()))
