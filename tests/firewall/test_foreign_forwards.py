"""Ports of the host that rules of others lead elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from volt_agent.firewall.foreign_forwards import foreign_forwards

Json = dict[str, Any]
OWN = ("192.0.2.1",)
BASE: Json = {"family": "ip", "table": "nat", "name": "PREROUTING", "type": "nat"}
BASE |= {"hook": "prerouting"}


def equal(protocol: str, field: str, right: Any) -> Json:
    left = {"payload": {"protocol": protocol, "field": field}}
    return {"match": {"op": "==", "left": left, "right": right}}


def outside(op: str = "!=") -> Json:
    return {"match": {"op": op, "left": {"meta": {"key": "iifname"}}, "right": "docker0"}}


PORT_80, COUNTER = equal("tcp", "dport", 80), {"counter": {"packets": 0, "bytes": 0}}
XT_DNAT: Json = {"xt": {"type": "target", "name": "DNAT"}}
DNAT: Json = {"dnat": {"addr": "172.17.0.2", "port": 80}}
LOCAL: Json = {"xt": {"type": "match", "name": "addrtype"}}
FIB = {"fib": {"result": "type", "flags": ["daddr"]}}


def taker(*rule: Json, jump: tuple[Json, ...] = (LOCAL,), own: tuple[str, ...] = OWN) -> str | None:
    """Who takes port 80, with this rule in a chain that is jumped to as Docker does."""
    place = {"family": "ip", "table": "nat"}
    objects = [
        {"chain": BASE},
        {"chain": place | {"name": "DOCKER"}},
        {"rule": place | {"chain": "PREROUTING", "expr": [*jump, {"jump": {"target": "DOCKER"}}]}},
        {"rule": place | {"chain": "DOCKER", "expr": list(rule)}},
    ]
    return next((str(each) for each in foreign_forwards(objects) if each.takes(80, own)), None)


@pytest.mark.parametrize(
    "rule",
    [
        (outside(), PORT_80, COUNTER, XT_DNAT),  # Docker's, through iptables-nft
        (outside(), PORT_80, COUNTER, DNAT),
        (equal("ip", "daddr", "192.0.2.1"), PORT_80, DNAT),
        (equal("tcp", "dport", {"set": [443, {"range": [79, 81]}]}), {"redirect": {"port": 8080}}),
        (equal("ip", "protocol", "tcp"), equal("th", "dport", {"range": [1, 1024]}), DNAT),
    ],
)
def test_who_takes_the_port_is_named(rule: tuple[Json, ...]) -> None:
    """In all forms in which nft lists it."""
    assert taker(*rule) == "Docker: chain DOCKER of table ip nat"


@pytest.mark.parametrize(
    "rule",
    [
        (outside(), equal("tcp", "dport", 8080), XT_DNAT),
        (equal("udp", "dport", 80), XT_DNAT),
        (outside("=="), PORT_80, DNAT),
        (equal("ip", "saddr", "198.51.100.7"), PORT_80, DNAT),
        (equal("ip", "daddr", "192.0.2.99"), PORT_80, DNAT),
        ({"xt": {"type": "match", "name": "multiport"}}, XT_DNAT),
        (PORT_80, COUNTER, {"return": None}),
        (equal("tcp", "dport", "@published"), DNAT),
        ({"match": {"op": "==", "left": "strange", "right": 80}}, DNAT),
        (DNAT,),
    ],
)
def test_what_is_not_certain_is_not_named(rule: tuple[Json, ...]) -> None:
    """Another port, other clients, another address, or a condition that is not understood."""
    assert taker(*rule) is None


def test_only_what_is_reached_counts() -> None:
    """A chain that only some get to, and one that jumps to itself."""
    assert taker(PORT_80, DNAT, jump=(equal("ip", "saddr", "198.51.100.7"),)) is None
    assert taker({"jump": {"target": "DOCKER"}}) is None
    local: Json = {"match": {"op": "==", "left": FIB, "right": "local"}}
    assert taker(PORT_80, DNAT, jump=(local,)) is not None
