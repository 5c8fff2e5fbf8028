"""The rows of `firewall list` that no user made: defaults, masquerading, what the host lets in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...firewall.ruleset import DropCount
from ...model.host import HostPolicy
from ...model.snapshot import Snapshot
from ..messages.firewall import Rule

# Names of users' rules have no colon.
PREFIX = "builtin:"

INPUT, FORWARD, POST = "volt-input", "volt-forward", "volt-nat-post"


class _Default(NamedTuple):
    """What a drop by default is about; named like its counter."""

    source: str
    dest: str
    chain: str


_DEFAULT_DROPS: Mapping[str, _Default] = {
    "host-from-workload": _Default("workloads", "host", INPUT),
    "gateway-from-outside": _Default("outside", "gateways", INPUT),
    "host-closed": _Default("outside", "host", INPUT),
    "isolated": _Default("workloads", "isolated-workloads", FORWARD),
    "between-networks": _Default("networks", "other-networks", FORWARD),
    "workload-from-outside": _Default("outside", "workloads", FORWARD),
    "no-way-out": _Default("internal-networks", "outside", FORWARD),
    "foreign-source": _Default("foreign-address", "any", FORWARD),
    "mid-stream": _Default("workloads", "any", FORWARD),
    "untrackable": _Default("any", "any", FORWARD),
}


def built_in_rules(snapshot: Snapshot, drops: Mapping[str, DropCount]) -> list[Rule]:
    """In the order in which packets meet them, chain by chain, behind the users' rules."""
    return [
        *_accepted(snapshot.host),
        *_dropped(snapshot.host, drops),
        *_masqueraded(snapshot),
    ]


def _accepted(host: HostPolicy) -> Iterator[Rule]:
    yield _row("established", "any", "any", "accept", INPUT)
    yield _row("established", "any", "any", "accept", FORWARD)
    yield _row("dhcp", "workloads", "gateway", "accept", INPUT, "67", "udp")
    yield _row("dns", "workloads", "gateway", "accept", INPUT, "53", "tcp,udp")
    yield _row("ping", "workloads", "gateway", "accept", INPUT, proto="icmp")
    if host.inbound == "deny":
        yield from _host_allow(host)
    yield _row("same-network", "network", "same-network", "accept", FORWARD)
    yield _row("nat-networks", "nat-networks", "outside", "accept", FORWARD)


def _host_allow(host: HostPolicy) -> Iterator[Rule]:
    for each in host.ports:
        ports = str(each.first) if each.first == each.last else f"{each.first}-{each.last}"
        yield _row("host-allow", "outside", "host", "accept", INPUT, ports, each.protocol)
    for name in host.interfaces:
        yield _row("host-allow", f"iface:{name}", "host", "accept", INPUT)
    if host.ping:
        yield _row("host-allow", "outside", "host", "accept", INPUT, proto="icmp")


def _dropped(host: HostPolicy, drops: Mapping[str, DropCount]) -> Iterator[Rule]:
    for name, about in _DEFAULT_DROPS.items():
        if name == "host-closed" and host.inbound == "allow":
            continue
        yield _row(name, about.source, about.dest, "drop", about.chain, count=drops.get(name))


def _masqueraded(snapshot: Snapshot) -> Iterator[Rule]:
    for network in snapshot.networks.values():
        if network.nat:
            name = f"masquerade-{network.name}"
            yield _row(name, network.name, "outside", "masquerade", POST)


def _row(
    name: str,
    source: str,
    dest: str,
    action: str,
    chain: str,
    ports: str = "any",
    proto: str = "any",
    count: DropCount | None = None,
) -> Rule:
    return Rule(
        name=PREFIX + name,
        source=source,
        dest=dest,
        ports=ports,
        proto=proto,
        action=action,
        chain=chain,
        packets=count.packets if count else None,
        bytes=count.bytes if count else None,
        builtin=True,
    )
