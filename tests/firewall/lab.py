"""A host to try the firewall on, in namespaces that only descriptors of this process hold.

Nothing has a name on the machine, so nothing can be left behind::

    outside 192.0.2.2 --- eth0 192.0.2.1 [host] --- volt0         10.0.0.0/24   web, app, db; guest
                                                --- volt-backend  10.30.0.0/24  cache
                                                --- volt-internal 10.50.0.0/24  iso (no NAT)
                                                --- other0        172.31.0.0/24 other (foreign)

The outside host routes all of these through the host: what it cannot reach, the firewall denies.
`guest` is a port of volt0 that volt did not make; `db` is wired, and not in SNAPSHOT.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from tests.support.namespaces import CLONE_NEWNET, network_namespace
from tests.support.traffic import Traffic
from volt_agent.bus import Bus
from volt_agent.firewall.plane import Firewall
from volt_agent.kernel.nft import Nft
from volt_agent.model.host import HostPolicy, HostPort
from volt_agent.model.network import Connection, Network
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Port

T = TypeVar("T")


def network(name: str, bridge: str, subnet: str, nat: bool = True) -> Network:
    addresses = IPv4Network(subnet)
    return Network(name, bridge, addresses, addresses[1], 1500, nat)


def connection(network: str, workload: str, address: str) -> Connection:
    return Connection(
        network=network,
        workload=workload,
        kind="container",
        address=IPv4Address(address),
        mac=mac_of(address),
        interface=f"vc-{workload}",
        slot=0,
    )


def mac_of(address: str) -> str:
    return "02:00:" + ":".join(f"{octet:02x}" for octet in IPv4Address(address).packed)


NETWORKS = (
    network("default", "volt0", "10.0.0.0/24"),
    network("backend", "volt-backend", "10.30.0.0/24"),
    network("internal", "volt-internal", "10.50.0.0/24", nat=False),
)
WEB = connection("default", "web", "10.0.0.5")
APP = connection("default", "app", "10.0.0.6")
DB = connection("default", "db", "10.0.0.10")
CACHE = connection("backend", "cache", "10.30.0.5")
ISO = connection("internal", "iso", "10.50.0.5")
GUEST = Port("default", "guest", "vb-guest", ifindex=1, up=True, made=False)
GUEST_ADDRESS = "10.0.0.66"
POLICY = HostPolicy(ports=(HostPort("tcp", 22, 22), HostPort("tcp", 8000, 8010)))
SNAPSHOT = Snapshot().apply(Change(put=(*NETWORKS, WEB, APP, CACHE, ISO, GUEST, POLICY)))

# Not volt's: a bridge of somebody else, like docker0.
_OTHER = network("other", "other0", "172.31.0.0/24")
_OTHER_PORT = connection("other", "other", "172.31.0.5")


class Lab:
    """The namespaces, a loop to work on, and a firewall in the host."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.traffic = Traffic()
        self.bus = Bus()
        self.nft = Nft()
        self._handles: dict[str, int] = {}
        try:
            self._build()
            self.run(self._move_in())
        except BaseException:
            self.close()
            raise
        self.firewall = Firewall(self.nft, self.bus)
        self.snapshot = Snapshot()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        for name in self._handles:
            self.traffic.leave(self.path(name))
        self.run(self.nft.close())
        self.runner.close()
        for handle in self._handles.values():
            os.close(handle)

    def path(self, name: str) -> str:
        """The path of a namespace: what `Traffic` and `network_namespace` take."""
        return f"/proc/{os.getpid()}/fd/{self._handles[name]}"

    def sh(self, name: str, *command: str, given: str = "") -> str:
        """Run a command in a namespace; raises CalledProcessError if it fails."""
        inside = ["nsenter", f"--net={self.path(name)}", *command]
        done = subprocess.run(inside, input=given, text=True, capture_output=True, check=True)
        return done.stdout

    def load(self, snapshot: Snapshot) -> str:
        """Start a new firewall on `snapshot` and let it settle at once."""
        self.firewall = Firewall(self.nft, self.bus)
        self.snapshot = snapshot
        started = self.run(self.firewall.start(snapshot))
        self.change(snapshot.host)
        return started

    def change(self, *put: Object) -> float:
        """Apply a change that puts these objects."""
        change = Change(put=put)
        self.snapshot = self.snapshot.apply(change)
        return self.run(self.firewall.apply(self.snapshot, change))

    def remove(self, *gone: Object) -> float:
        """Apply a change that deletes these objects."""
        change = Change(delete=gone)
        self.snapshot = self.snapshot.apply(change)
        return self.run(self.firewall.apply(self.snapshot, change))

    def drops(self) -> dict[str, int]:
        """Packets dropped by default, by the counter's name."""
        return {each.name: each.packets for each in self.run(self.firewall.counters())}

    async def _move_in(self) -> None:
        """libnftables works in the namespace of the thread that uses it first."""
        with network_namespace(Path(self.path("host"))):
            await self.nft.listing("inet", "volt")

    def _build(self) -> None:
        for name in ("host", "outside", "web", "app", "db", "cache", "iso", "guest", "other"):
            self._handles[name] = new_namespace()
        self.sh("host", "ip", "-batch", "-", given=self._host_links())
        self.sh("host", "sysctl", "-qw", "net.ipv4.ip_forward=1", *_NO_GLOBAL_HOOK)
        localnet = (f"net.ipv4.conf.{net.bridge}.route_localnet=1" for net in NETWORKS)
        self.sh("host", "sysctl", "-qw", *localnet)
        outside = "\n".join(
            f"route add {net} via 192.0.2.1" for net in ("10.0.0.0/8", _OTHER.subnet)
        )
        up = _UP.format("192.0.2.2/24", "2001:db8::2/64")
        self.sh("outside", "ip", "-batch", "-", given=up + outside)
        for each in (WEB, APP, DB, CACHE, ISO, _OTHER_PORT):
            self._inside(each.workload, str(each.address), each.mac)
        self._inside("guest", GUEST_ADDRESS, mac_of(GUEST_ADDRESS))

    def _inside(self, name: str, address: str, mac: str) -> None:
        gateway = address.rpartition(".")[0] + ".1"
        last = address.rpartition(".")[2]
        # Nothing that the kernel says of its own accord: it would be counted among the drops.
        quiet = "link set eth0 addrgenmode none\nlink set eth0 multicast off\n"
        lines = f"link set eth0 address {mac}\n{quiet}" + _UP.format(
            f"{address}/24", f"2001:db8:1::{last}/64"
        )
        self.sh(name, "ip", "-batch", "-", given=f"{lines}route add default via {gateway}\n")

    def _host_links(self) -> str:
        lines = [
            "link set lo up",
            f"link add eth0 type veth peer eth0 netns {self.path('outside')}",
        ]
        lines += ["address add 192.0.2.1/24 dev eth0", "address add 2001:db8::1/64 dev eth0 nodad"]
        lines += ["link set eth0 up"]
        for net in (*NETWORKS, _OTHER):
            hooks = "" if net is _OTHER else " nf_call_iptables 1 nf_call_ip6tables 1"
            lines += [f"link add {net.bridge} type bridge{hooks}"]
            lines += [f"address add {net.gateway}/24 dev {net.bridge}"]
            lines += [f"link set {net.bridge} up"]
        lines += ["address add 2001:db8:1::1/64 dev volt0 nodad"]
        of = {net.name: net.bridge for net in (*NETWORKS, _OTHER)}
        for each in (WEB, APP, DB, CACHE, ISO, _OTHER_PORT):
            lines += self._port(each.interface, each.workload, of[each.network])
        lines += self._port(GUEST.interface, "guest", "volt0")
        return "\n".join(lines)

    def _port(self, interface: str, workload: str, bridge: str) -> list[str]:
        return [
            f"link add {interface} type veth peer eth0 netns {self.path(workload)}",
            f"link set {interface} master {bridge} up",
            f"link set {interface} type bridge_slave hairpin on",
        ]


_UP = """\
link set lo up
address add {0} dev eth0
address add {1} dev eth0 nodad
link set eth0 up
"""

# Frames of a bridge meet netfilter only where the bridge itself says so.
_NO_GLOBAL_HOOK = (
    "net.bridge.bridge-nf-call-iptables=0",
    "net.bridge.bridge-nf-call-ip6tables=0",
)


def new_namespace() -> int:
    """A descriptor of a new network namespace, which lives as long as it is open."""
    made: list[int] = []

    def work() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) == 0:
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made, "no new network namespace"
    return made[0]
