"""The world of the property test: namespaces wired once, whatever the states that come and go.

::

    outside 192.0.2.2 --- eth0 192.0.2.1 [host] --- volt-red   10.71.0.0/24  ann bob eve gus
                                                --- volt-blue  10.72.0.0/24  cat dan eve
                                                --- volt-grey  10.73.0.0/24  fay gus (no NAT)

`eve` and `gus` are on two networks. Nothing is learned or asked on the way: neighbours and bridge
entries are permanent, so that a packet is never held back or flooded, and each is where it is going
by the time the kernel has worked off its queue (`Probes`). Replies leave by the interface whose
address they bear (policy routing): the workloads' own routing is not what is on trial.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

from msgspec import Struct

from tests.firewall.lab import mac_of, network, new_namespace

NETWORKS = (
    network("red", "volt-red", "10.71.0.0/24"),
    network("blue", "volt-blue", "10.72.0.0/24"),
    network("grey", "volt-grey", "10.73.0.0/24", nat=False),
)
HOST, OUTSIDE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
LOOPBACK = IPv4Address("127.0.0.1")
HOST_MAC, OUTSIDE_MAC = "02:00:c0:00:02:01", "02:00:c0:00:02:02"


class Place(Struct, frozen=True):
    """An interface of a workload: where it is wired, for good."""

    workload: str
    network: str
    address: IPv4Address
    slot: int

    @property
    def port(self) -> str:
        return f"vc-{self.workload}{self.slot}"

    @property
    def inside(self) -> str:
        return f"eth{self.slot}"

    @property
    def mac(self) -> str:
        return mac_of(str(self.address))


def _places() -> Iterator[Place]:
    wiring = {
        "red": ("ann", "bob", "eve", "gus"),
        "blue": ("cat", "dan", "eve"),
        "grey": ("fay", "gus"),
    }
    seen: dict[str, int] = {}
    for net in NETWORKS:
        for number, workload in enumerate(wiring[net.name], 5):
            slot = seen.get(workload, 0)
            seen[workload] = slot + 1
            yield Place(workload, net.name, net.subnet[number], slot)


PLACES = tuple(_places())
WORKLOADS = tuple(dict.fromkeys(each.workload for each in PLACES))
GATEWAYS = {net.name: net.gateway for net in NETWORKS}
_BRIDGES = {net.name: net.bridge for net in NETWORKS}


class World:
    """The namespaces, held by descriptors of this process only."""

    def __init__(self) -> None:
        self._handles: dict[str, int] = {}
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def path(self, name: str) -> str:
        """The path of a namespace: "host", "outside" or a workload."""
        return f"/proc/{os.getpid()}/fd/{self._handles[name]}"

    def sh(self, name: str, *command: str, given: str = "") -> str:
        """Run a command in a namespace; raises CalledProcessError if it fails."""
        inside = ["nsenter", f"--net={self.path(name)}", *command]
        done = subprocess.run(inside, input=given, text=True, capture_output=True, check=True)
        return done.stdout

    def _build(self) -> None:
        for name in ("host", "outside", *WORKLOADS):
            self._handles[name] = new_namespace()
            self.sh(name, "sysctl", "-qw", *_QUIET)
        self.sh("host", "ip", "-batch", "-", given="\n".join(self._host_links()))
        self.sh("host", "sysctl", "-qw", *_ROUTER)
        entries = (f"fdb replace {p.mac} dev {p.port} master static" for p in PLACES)
        self.sh("host", "bridge", "-batch", "-", given="\n".join(entries))
        self.sh("outside", "ip", "-batch", "-", given=_OUTSIDE_LINKS)
        for name in WORKLOADS:
            self.sh(name, "ip", "-batch", "-", given="\n".join(_inside(name)))

    def _host_links(self) -> Iterator[str]:
        yield "link set lo up"
        yield f"link add eth0 type veth peer eth0 netns {self.path('outside')}"
        yield f"link set eth0 address {HOST_MAC} up"
        yield f"address add {HOST}/24 dev eth0"
        yield f"neighbour replace {OUTSIDE} lladdr {OUTSIDE_MAC} dev eth0 nud permanent"
        for net in NETWORKS:
            yield f"link add {net.bridge} type bridge nf_call_iptables 1 nf_call_ip6tables 1"
            yield f"link set {net.bridge} address {mac_of(str(net.gateway))} up"
            yield f"address add {net.gateway}/24 dev {net.bridge}"
        for place in PLACES:
            bridge = _BRIDGES[place.network]
            namespace = self.path(place.workload)
            yield f"link add {place.port} type veth peer {place.inside} netns {namespace}"
            yield f"link set {place.port} master {bridge} up"
            # A frame may go back to the port it came from: a workload uses its own forward.
            yield f"link set {place.port} type bridge_slave hairpin on"
            yield f"neighbour replace {place.address} lladdr {place.mac} dev {bridge} nud permanent"


def _inside(workload: str) -> Iterator[str]:
    yield "link set lo up"
    for place in PLACES:
        if place.workload != workload:
            continue
        device, table, gateway = place.inside, 100 + place.slot, GATEWAYS[place.network]
        yield f"link set {device} address {place.mac} up"
        yield f"address add {place.address}/24 dev {device}"
        yield f"route add default via {gateway} dev {device} metric {table}"
        subnet = ".".join(str(place.address).split(".")[:3]) + ".0/24"
        yield f"route add {subnet} dev {device} table {table}"
        yield f"route add default via {gateway} dev {device} table {table}"
        yield f"rule add from {place.address} table {table}"
        neighbours = {gateway: mac_of(str(gateway))}
        neighbours |= {p.address: p.mac for p in PLACES if p.network == place.network}
        neighbours.pop(place.address)
        for address, mac in neighbours.items():
            yield f"neighbour replace {address} lladdr {mac} dev {device} nud permanent"


_OUTSIDE_LINKS = f"""\
link set lo up
link set eth0 address {OUTSIDE_MAC} up
address add {OUTSIDE}/24 dev eth0
neighbour replace {HOST} lladdr {HOST_MAC} dev eth0 nud permanent
route add 10.0.0.0/8 via {HOST}
"""

# IPv6 says things of its own accord; refusals must not be rationed, or a reply is missed.
_QUIET = (
    "net.ipv6.conf.default.disable_ipv6=1",
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv4.icmp_ratemask=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
)
# The bridges alone say that their frames meet netfilter. Redirects would be told to the probes of a
# workload whose forward leads back to its own network.
_ROUTER = (
    "net.ipv4.ip_forward=1",
    "net.bridge.bridge-nf-call-iptables=0",
    "net.bridge.bridge-nf-call-ip6tables=0",
    "net.ipv4.conf.all.send_redirects=0",
    *(
        f"net.ipv4.conf.{net.bridge}.{key}"
        for net in NETWORKS
        for key in ("route_localnet=1", "send_redirects=0")
    ),
)
