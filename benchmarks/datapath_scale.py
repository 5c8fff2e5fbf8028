"""TCP connects per second, with no rules and with 10,000: policies, forwards and firewall rules.

Between two ports of one bridge, routed between two networks, and through a port forward; beside a
linear ruleset of the same meaning. Every ruleset has a host of its own, and they are measured in
turns, a short round each; a ratio is taken within one turn, so that a slow second of the machine
hits both sides.

One thread makes both ends of each connection, and the kernel carries its packets on the same CPU,
inside its system calls. So a second is one of that thread's CPU time (the packets' included, where
the kernel does not account interrupts apart): what others do on the machine does not show. Making
and closing sockets costs as much with every ruleset, so a ratio between two of them shows less than
the way of the packets alone would.
"""

from __future__ import annotations

import socket
import statistics
import struct
import time
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

from benchmarks import crowd, linear
from benchmarks.figures import Figures, options
from tests.firewall.property.bench import Bench
from tests.firewall.property.probes import on_one_cpu
from tests.firewall.property.states import State
from tests.firewall.property.world import HOST, PLACES, World
from tests.support.namespaces import network_namespace, socket_in
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.host import HostPolicy
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Change

MANY = 10_000
LINEAR = (100, 1_000, 10_000)
# The promise: connects per second with MANY, as a share of those with none.
SHARE = 0.95
_PATIENCE = struct.pack("@ll", 5, 0)  # SO_SNDTIMEO: a closed path is an error, not a hang
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, which leaves no TIME_WAIT behind

_ADDRESS = {place.workload: place.address for place in reversed(PLACES)}
# Name: who connects, to which address and port, and who answers.
PATHS: dict[str, tuple[str, IPv4Address, int, str]] = {
    "same bridge": ("ann", _ADDRESS["bob"], 80, "bob"),
    "routed": ("ann", _ADDRESS["cat"], 80, "cat"),
    "forward": ("outside", HOST, 8080, "ann"),
}
_HTTP = (PortRange(80, 80),)
# What the measured traffic needs, in every ruleset.
_WAY = (
    Policy("way", 1, Peer("workload", "ann"), Peer("workload", "cat"), _HTTP, "tcp", "allow"),
    Forward("tcp", PortRange(8080, 8080), "ann", 80),
)


class Host:
    """A host with one ruleset and listeners on port 80."""

    def __init__(self, stack: ExitStack, name: str, world: World) -> None:
        self.name, self._world = name, world
        self._listeners = {}
        for workload in ("ann", "bob", "cat"):
            sock = socket_in(world.path(workload), socket.AF_INET, socket.SOCK_STREAM)
            stack.callback(sock.close)
            sock.setblocking(True)
            sock.bind(("", 80))
            sock.listen(16)
            self._listeners[workload] = sock

    def rate(self, path: str, connects: int) -> float:
        """Connects per second of CPU time."""
        client, address, port, server = PATHS[path]
        listener, goal = self._listeners[server], (str(address), port)
        with network_namespace(Path(self._world.path(client))), on_one_cpu():
            began = time.thread_time()
            for _ in range(connects):
                _connect(goal, listener)
            return connects / (time.thread_time() - began)


def _connect(goal: tuple[str, int], listener: socket.socket) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
    sock.connect(goal)
    accepted, _ = listener.accept()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
    accepted.close()


def volt(stack: ExitStack, count: int) -> World:
    """A host with volt's ruleset for `count` objects of a crowd."""
    bench = Bench()
    stack.callback(bench.close)
    bench.load(State(HostPolicy()))
    many: tuple[Policy | Forward | Rule, ...] = tuple(crowd.objects(count))
    bench.apply(Change(put=(*(crowd.residents() if count else ()), *many, *_WAY)))
    return bench.world


def lines(stack: ExitStack, count: int) -> World:
    """A host with the linear ruleset for as many."""
    world = World()
    stack.callback(world.close)
    world.sh("host", "nft", "-f", "-", given=linear.ruleset(count))
    return world


def main() -> None:
    quick = options(__doc__).quick
    rounds, connects = (20, 100) if quick else (60, 300)
    figures = Figures("TCP connects per second of CPU time, both ends")
    with ExitStack() as stack:
        hosts = [Host(stack, f"volt, {count:,}", volt(stack, count)) for count in (0, MANY)]
        hosts += [Host(stack, f"linear, {count:,}", lines(stack, count)) for count in LINEAR]
        for path in PATHS:
            measured = measure(hosts, path, rounds, connects)
            show(figures, path, measured)
    figures.finish()


def measure(hosts: list[Host], path: str, rounds: int, connects: int) -> dict[str, list[float]]:
    """The rates of every host; the order changes with every round."""
    rates: dict[str, list[float]] = {host.name: [] for host in hosts}
    for host in hosts:
        host.rate(path, connects)  # warm up
    for number in range(rounds):
        turn = number % len(hosts)
        for host in hosts[turn:] + hosts[:turn]:
            rates[host.name].append(host.rate(path, connects))
    return rates


def show(figures: Figures, path: str, rates: dict[str, list[float]]) -> None:
    """The rows of one path. The limit is on the shortfall, since a limit is a most."""
    none, many, *_ = rates
    for name, values in rates.items():
        figures.samples(f"{path}: {name}", values, "1/s")
    for name in list(rates)[1:]:
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates[none], strict=True))
        figures.value(f"  {name} / {none}", ratio, "x")
        if name == many:
            figures.limit(f"{path}: 1 - share with {MANY:,}", 1 - ratio, 1 - SHARE)


if __name__ == "__main__":
    main()
