"""From one object to its elements: what a network, a connection, a port or the host's policy adds.

Pure functions. An object's fragment depends on the object itself and on what `dependents` names, so
that a change is compiled from the objects that it touches (`incremental`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..model.firewall import Forward, Policy, Rule
from ..model.host import HostPolicy, HostPort
from ..model.network import Connection, Network
from ..model.snapshot import Object, Snapshot
from ..model.workload import Port
from .forwards import forward_elements
from .matches import policy_elements, rule_elements
from .quote import PROTOCOL_NUMBERS, QUOTABLE, quoted
from .ruleset import Element
from .spelling import Spelling
from .strict import strict_elements

Fragment = tuple[Element, ...]

# The kinds of object that have elements, or of which those of others depend.
COMPILED = (Network, Connection, Port, HostPolicy, Rule, Policy, Forward)

# Type and key: a connection and its port have equal keys.
ObjectId = tuple[str, str]

_BOTH_FAMILIES = ("ipv4", "ipv6")


def fragment(each: Object, spelling: Spelling, level: int = 0) -> Fragment:
    """The elements that `each` contributes within a snapshot; most kinds of object have none.

    `level` is that of a rule (`levels`). Raises Invalid if a name of volt's own cannot be written
    in a ruleset.
    """
    snapshot = spelling.snapshot
    if isinstance(each, Network):
        return tuple(_network(each))
    if isinstance(each, Connection):
        return tuple(_connection(each, snapshot))
    if isinstance(each, Port):
        return tuple(_port(each, snapshot))
    if isinstance(each, HostPolicy):
        return tuple(_host(each))
    if isinstance(each, Rule):
        elements = rule_elements(each, spelling, level)
        return tuple(dict.fromkeys((*elements, *strict_elements(each, spelling))))
    if isinstance(each, Policy):
        elements = policy_elements(each, spelling)
        return tuple(dict.fromkeys((*elements, *strict_elements(each, spelling))))
    if isinstance(each, Forward):
        return tuple(forward_elements(each, spelling))
    return ()


def sources(snapshot: Snapshot) -> Iterator[tuple[ObjectId, Object]]:
    """Every object of a snapshot that may have a fragment."""
    yield identity(snapshot.host), snapshot.host
    tables: tuple[tuple[type[Object], Mapping[str, Object]], ...] = (
        (Network, snapshot.networks),
        (Connection, snapshot.connections),
        (Port, snapshot.ports),
        (Rule, snapshot.rules),
        (Policy, snapshot.policies),
        (Forward, snapshot.forwards),
    )
    for kind, table in tables:
        name = kind.__name__
        for key, each in table.items():
            yield (name, key), each


def identity(each: Object) -> ObjectId:
    """What an object is found by among those of all kinds."""
    return type(each).__name__, each.key


def dependents(each: Object, snapshot: Snapshot) -> Iterator[Object]:
    """The objects whose fragment may differ because `each` came, changed or went.

    Without the rules, policies and forwards that name it: `references` knows those. The guards of a
    network's ports follow its port security: O(connections) to find them, and rare.
    """
    if isinstance(each, Network):
        yield from (one for one in snapshot.connections.values() if one.network == each.name)
        yield from (one for one in snapshot.ports.values() if one.network == each.name)
    elif isinstance(each, Connection):
        port = snapshot.ports.get(each.key)
        if port is not None:
            yield port


def is_guardable(port: Port) -> bool:
    """Whether this port gets a guard of its own.

    A port that volt made is guarded by its connection. One with a name that cannot be quoted stays
    without, and only the check of the source address in `from-workload` holds it.
    """
    return not port.made and QUOTABLE.fullmatch(port.interface) is not None


def _network(network: Network) -> Iterator[Element]:
    bridge = quoted(network.bridge)
    allowed = network.subnet if network.port_security else "0.0.0.0/0"
    yield Element("bridges", bridge)
    yield Element("same-bridge", f"{bridge} . {bridge}")
    yield Element("gateways", str(network.gateway))
    yield Element("own-gateway", f"{bridge} . {network.gateway}")
    yield Element("sources", f"{bridge} . {allowed}")
    if network.nat:
        yield Element("nat-bridges", bridge)


def _connection(connection: Connection, snapshot: Snapshot) -> Iterator[Element]:
    interface, mac = quoted(connection.interface), connection.mac.lower()
    yield Element("taken-macs", mac)
    if not _is_secured(connection, snapshot):
        yield Element("lifted-ports", interface)
        return
    yield Element("bound-ports", interface)
    yield Element("port-macs", f"{interface} . {mac}")
    yield Element("port-addresses", f"{interface} . {connection.address}")


def _port(port: Port, snapshot: Snapshot) -> Iterator[Element]:
    if QUOTABLE.fullmatch(port.interface) is None:
        return
    if not port.made:
        yield from _foreign_port(port, snapshot)
    elif port.key not in snapshot.connections:
        # It is about to be taken away. Bound to nothing: until then it may not speak as itself,
        # whom no rule or policy knows any longer, and even less as somebody else.
        yield Element("bound-ports", quoted(port.interface))


def _foreign_port(port: Port, snapshot: Snapshot) -> Iterator[Element]:
    """Bound to what is known of it: to nothing but DHCP at first, to MAC and address in the end."""
    interface = quoted(port.interface)
    if not _is_secured(port, snapshot):
        yield Element("lifted-ports", interface)
    elif port.mac is None:
        yield Element("learning-ports", interface)
        connection = snapshot.connections.get(port.key)
        if connection is not None:  # the MAC that its user chose for it, in advance
            yield Element("port-macs", f"{interface} . {connection.mac.lower()}")
    else:
        yield Element("bound-ports", interface)
        yield Element("taken-macs", port.mac.lower())
        yield Element("port-macs", f"{interface} . {port.mac.lower()}")
        if port.address is not None:
            yield Element("port-addresses", f"{interface} . {port.address}")


def _is_secured(each: Connection | Port, snapshot: Snapshot) -> bool:
    network = snapshot.networks.get(each.network)
    connection = snapshot.connections.get(each.key) if isinstance(each, Port) else each
    return (network is None or network.port_security) and (
        connection is None or connection.port_security
    )


def _host(policy: HostPolicy) -> Iterator[Element]:
    if policy.settling:
        yield from _switch("settling")
    elif policy.inbound == "deny":
        yield from _switch("host-denies")
    if policy.ping:
        yield from _switch("host-pings")
    for name in sorted(set(policy.interfaces)):
        yield Element("host-interfaces", quoted(name))
    for port in _merged(policy.ports):
        ports = str(port.first) if port.first == port.last else f"{port.first}-{port.last}"
        yield Element("host-ports", f"{PROTOCOL_NUMBERS[port.protocol]} . {ports}")


def _switch(name: str) -> Iterator[Element]:
    return (Element(name, family) for family in _BOTH_FAMILIES)


def _merged(ports: Iterable[HostPort]) -> list[HostPort]:
    """The same ports without overlaps: the kernel refuses overlapping ranges (EEXIST)."""
    merged: list[HostPort] = []
    for port in sorted(ports):
        last = merged[-1] if merged else None
        if last is None or last.protocol != port.protocol or port.first > last.last + 1:
            merged.append(port)
        elif port.last > last.last:
            merged[-1] = HostPort(port.protocol, last.first, port.last)
    return merged
