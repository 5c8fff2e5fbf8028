"""A crowd of workloads with thousands of rules, policies and forwards among them: nothing but load.

None of it concerns the traffic that is measured, as most of what a busy host has does not concern
a given packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from tests.firewall.lab import mac_of
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.network import Connection, Network
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Object
from volt_agent.model.workload import Instance, Port, Workload

NETWORK = Network(
    "crowd", "volt-crowd", IPv4Network("10.96.0.0/16"), IPv4Address("10.96.0.1"), 1500
)
WORKLOADS = 1000
_FIRST_HOST_PORT = 20000


def name(number: int) -> str:
    return f"w{number % WORKLOADS}"


def address(number: int) -> IPv4Address:
    return NETWORK.subnet[number % WORKLOADS + 10]


def residents() -> Iterator[Object]:
    """The network and its running workloads."""
    yield NETWORK
    for number in range(WORKLOADS):
        who, where = name(number), address(number)
        mac, port = mac_of(str(where)), f"vc-{who}"
        yield Workload(who, "container", "netns")
        yield Instance(who, "container", "netns", "1", f"/run/netns/{who}")
        yield Connection("crowd", who, "container", where, mac, port, 0)
        yield Port("crowd", who, port, 1000 + number, True, True, "eth0", where, mac)


def rule(number: int) -> Rule:
    """From one workload to one port of another."""
    source, dest = Peer("workload", name(number * 7 + 1)), Peer("workload", name(number))
    return Rule(f"rule{number}", number, source, dest, _port(number), "tcp", "drop")


def policy(number: int) -> Policy:
    """A different pair of workloads, or port, for each number."""
    source = Peer("workload", name(number * 11 + 3 + number // WORKLOADS))
    target = Peer("workload", name(number))
    return Policy(f"policy{number}", number, source, target, _port(number), "tcp", "allow")


def forward(number: int) -> Forward:
    port = _FIRST_HOST_PORT + number
    return Forward("tcp", PortRange(port, port), name(number), 80)


def objects(count: int) -> Iterator[Rule | Policy | Forward]:
    """`count` of them, as many rules as policies and forwards."""
    for number in range(count):
        yield (rule, policy, forward)[number % 3](number // 3)


def _port(number: int) -> tuple[PortRange]:
    port = 1000 + number // WORKLOADS
    return (PortRange(port, port),)
