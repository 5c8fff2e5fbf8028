"""The netlink calls of a workload start, made bare: no agent, no loop, no event (inside a host).

The same operations that the agent plans, carried out one container after the other in a single
thread, on a bridge with as many ports as the agent's (what a new port costs the kernel grows with
them); and, for comparison, the same through pyroute2, call by call.

Arguments: how often, how many ports. stdout: `{"bare": [ms...], "pyroute2": [ms...]}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pyroute2 import IPRoute, NetNS

from tests.support import namespaces
from volt_agent.kernel.actions import carry_out
from volt_agent.kernel.netlink_socket import NetlinkSocket
from volt_agent.kernel.state import Mirror
from volt_agent.model.names import stable_mac
from volt_agent.model.network import Connection, Network
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.networks.plan import plan_bridge, plan_veth

ROOM = Path("/run/host/bare")
NETWORK = Network(
    name="bare",
    bridge="volt-bare",
    subnet=IPv4Network("10.90.0.0/16"),
    gateway=IPv4Address("10.90.0.1"),
    mtu=1500,
)


def main() -> None:
    count, ports = map(int, sys.argv[1:])
    sock = NetlinkSocket()
    if not Path("/sys/class/net", NETWORK.bridge).exists():
        carry_out(plan_bridge(NETWORK, Mirror(), netfilter=True), sock)
    with IPRoute() as route:
        bridge = route.link_lookup(ifname=NETWORK.bridge)[0]
        for number in range(len(os.listdir(f"/sys/class/net/{NETWORK.bridge}/brif")), ports):
            name, end = f"port-{number}", {"ifname": f"end-{number}", "state": "up"}
            route.link("add", ifname=name, kind="veth", master=bridge, state="up", peer=end)
        spent = {
            "bare": _repeat(count, lambda number, path: _bare(number, path, sock)),
            "pyroute2": _repeat(
                count, lambda number, path: _by_pyroute2(number, path, route, bridge)
            ),
        }
    json.dump(spent, sys.stdout)


def _repeat(count: int, attach: Callable[[int, Path], None]) -> list[float]:
    """Attach `count` new namespaces; milliseconds of each, without making the namespace."""
    samples = []
    for number in range(count):
        path = ROOM / str(number)
        namespaces.add_namespace(path)
        began = time.perf_counter()
        attach(number, path)
        samples.append((time.perf_counter() - began) * 1000)
        namespaces.delete_namespace(path)
        _await_quiet()
    return samples


def _await_quiet() -> None:
    """Wait until the kernel has taken the links of the last namespace apart."""
    while any(each.startswith(("vc-b", "vp-b")) for each in os.listdir("/sys/class/net")):
        time.sleep(0.001)
    time.sleep(0.1)  # as long as event_to_effect waits for the same reason


def _bare(number: int, path: Path, sock: NetlinkSocket) -> None:
    connection = Connection(
        network="bare",
        workload=f"b{number}",
        kind="container",
        address=NETWORK.gateway + 1 + number,
        mac=stable_mac("bare", str(number)),
        interface=f"vc-b{number}",
        slot=0,
    )
    snapshot = Snapshot().apply(Change(put=(NETWORK, connection)))
    carry_out(plan_veth(connection, snapshot, Mirror(), str(path), "eth0"), sock)


def _by_pyroute2(number: int, path: Path, route: IPRoute, bridge: int) -> None:
    name, mac = f"vp-b{number}", stable_mac("bare", str(number))
    with NetNS(str(path)) as inside:
        peer = {"ifname": "eth0", "address": mac, "mtu": NETWORK.mtu, "net_ns_fd": str(path)}
        route.link("add", ifname=name, kind="veth", master=bridge, mtu=NETWORK.mtu, peer=peer)
        inside.link("set", index=1, state="up")
        eth0 = inside.link_lookup(ifname="eth0")[0]
        address = str(NETWORK.gateway + 1 + number)
        inside.addr("add", index=eth0, address=address, prefixlen=NETWORK.subnet.prefixlen)
        inside.link("set", index=eth0, state="up")
        inside.route("add", dst="default", gateway=str(NETWORK.gateway))
        route.link("set", index=route.link_lookup(ifname=name)[0], state="up")


if __name__ == "__main__":
    main()
