"""Sends probes all at once and tells what became of each, without ever waiting for a silence.

All packets are sent by one thread on one CPU. A veth hands a packet to the receive queue of the CPU
that sent it, and that queue is first in, first out: when a packet has come out of it, everything
that was in it before has come out too. A packet needs as many turns of the queue as it crosses
veths, its reply as many again. So after the probes `TURNS` markers go from the host to a workload,
each after the last one came in: then nothing is under way any more, and what has not arrived was
dropped.

The kernel's books are checked as well: as many probes entered the host as were sent to it, and as
many left it, towards a workload, outside or its own sockets, as the receivers saw. Nothing was lost
on the way, and nothing arrived by another.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address

from msgspec import Struct

from tests.firewall.property.packets import ICMP, TCP, UDP, Probe, Sight, build, read
from tests.firewall.property.world import OUTSIDE, PLACES, WORKLOADS, World
from tests.support.namespaces import socket_in

# Longest way: a workload through the host to another (2) and back (2), and what that answers (2).
TURNS = 8
_BUFFER = 32 << 20
_FORCED = 33  # SO_RCVBUFFORCE, asm-generic/socket.h
_FIRST_PORT, _LAST_PORT = 20000, 60000
_WITHIN = 60.0  # seconds for a marker, which takes microseconds

# Priorities ahead of and behind everything of volt's: raw is -300, filter - 5, srcnat - 5 is 95.
_BOOKS = """
table inet books {
	counter entered { }
	counter left { }
	chain in { type filter hook prerouting priority -400; ip ttl 200 counter name entered; }
	chain out { type filter hook output priority -400; ip ttl 200 counter name entered; }
	chain here { type filter hook input priority 400; ip ttl 199-200 counter name left; }
	chain gone {
		type filter hook postrouting priority 400
		oifname != "lo" ip ttl 199-200 counter name left
	}
}
"""


class Fate(Struct, frozen=True):
    """What became of a probe: where it arrived (None: nowhere), and whether an answer came back."""

    arrived_at: str | None
    answered: bool


class Probes:
    """The sockets of all namespaces. `attempt` needs no ruleset in particular, and any will do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = 0
        self._port = _FIRST_PORT
        world.sh("host", "nft", "-f", "-", given=_BOOKS)
        self._senders = {
            (name, device): _sender(world.path(name), device) for name, device in _doors()
        }
        self._receivers = {
            (name, protocol): _receiver(world.path(name), protocol)
            for name in ("host", "outside", *WORKLOADS)
            for protocol in (TCP, UDP, ICMP)
        }

    def close(self) -> None:
        for sock in (*self._senders.values(), *self._receivers.values()):
            sock.close()

    def attempt(self, probes: Sequence[Probe]) -> list[Fate]:
        """Send all; their fates in the same order. Raises AssertionError if the books do not
        balance: then a packet was lost where no firewall is, and no verdict can be read off."""
        before = self._books()
        first = self._number
        with on_one_cpu():
            for probe in probes:
                self._send(probe)
            self._flush()
        arrived, answered = self._collect()
        fates = [
            Fate(arrived.get(first + place), first + place in answered)
            for place in range(len(probes))
        ]
        self._balance(before, self._books(), probes, fates)
        return fates

    def _send(self, probe: Probe) -> None:
        packet = build(probe, self._number, self._port)
        self._number += 1
        self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT
        # A rejection can be the answer of sendto() itself.
        with suppress(ConnectionRefusedError, PermissionError):
            self._senders[probe.source, probe.device].sendto(packet, (str(probe.target), 0))

    def _flush(self) -> None:
        """See the module: from here on, nothing is under way."""
        place = PLACES[0]
        receiver = self._receivers[place.workload, UDP]
        marker = Probe(
            "host", IPv4Address(int(place.address) & ~255 | 1), "", place.address, "udp", 9
        )
        self._early: list[bytes] = []
        for _ in range(TURNS):
            number = self._number
            self._send(marker)
            receiver.settimeout(_WITHIN)
            while (sight := read(packet := receiver.recv(2048))) is None or sight.number != number:
                self._early.append(packet)
            receiver.setblocking(False)

    def _collect(self) -> tuple[dict[int, str], set[int]]:
        arrived: dict[int, str] = {}
        answered: set[int] = set()
        for where, sight in self._sights():
            if sight.arrived:
                arrived[sight.number] = where
            if sight.answer:
                answered.add(sight.number)
        return arrived, answered

    def _sights(self) -> Iterator[tuple[str, Sight]]:
        """Everything the receivers got; what came before a marker was read with it."""
        waiting = [(PLACES[0].workload, packet) for packet in self._early]
        for (name, _), sock in self._receivers.items():
            waiting += ((name, packet) for packet in _drain(sock))
        for name, packet in waiting:
            sight = read(packet)
            if sight is not None:
                yield name, sight

    def _books(self) -> dict[str, int]:
        listing = json.loads(self._world.sh("host", "nft", "-j", "list", "counters"))["nftables"]
        return {
            each["counter"]["name"]: each["counter"]["packets"]
            for each in listing
            if "counter" in each and each["counter"]["table"] == "books"
        }

    def _balance(
        self,
        before: dict[str, int],
        after: dict[str, int],
        probes: Sequence[Probe],
        fates: Sequence[Fate],
    ) -> None:
        entered = after["entered"] - before["entered"] - TURNS
        left = after["left"] - before["left"] - TURNS
        # Over loopback a probe is sent, and comes in again.
        twice = sum(each.source == "host" and _is_local(each.target) for each in probes)
        arrived = sum(each.arrived_at is not None for each in fates)
        assert len(probes) <= entered <= len(probes) + twice, (
            f"{len(probes)} sent, {entered} entered"
        )
        assert left == arrived, f"{left} left the host, {arrived} arrived"


def _is_local(address: IPv4Address) -> bool:
    return address != OUTSIDE and address not in {each.address for each in PLACES}


def _doors() -> Iterator[tuple[str, str]]:
    yield "host", ""
    yield "outside", ""
    for place in PLACES:
        yield place.workload, place.inside


def _sender(path: str, device: str) -> socket.socket:
    sock = socket_in(path, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return sock


def _receiver(path: str, protocol: int) -> socket.socket:
    """A raw socket: it gets what has passed the input hook, whether a port is open or not."""
    sock = socket_in(path, socket.AF_INET, socket.SOCK_RAW, protocol)
    sock.setsockopt(socket.SOL_SOCKET, _FORCED, _BUFFER)
    return sock


def _drain(sock: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield sock.recv(2048)


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread on the CPU where it is: see the module."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
