"""How nft spells what rules, policies and forwards name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..model.firewall import Policy, Rule
from ..model.ports import PortRange, Ports, Protocol
from ..model.snapshot import Snapshot
from .quote import PROTOCOL_NUMBERS, QUOTABLE, dotted, quoted
from .shape import BLOCK, Service

# Where a workload is: network, interface of the host and address, which a learning port has not.
Place = tuple[str, str, str | None]
# How packets are looked up by protocol and port, and the values: ("port", ("6 . 80",)).
Spelled = tuple[Service, tuple[str, ...]]

# Ports up to here become an element each; of more, whole blocks become one.
_SINGLE_PORTS = 2 * BLOCK


class Spelling:
    """The words of one snapshot. Each is spelled once: ten thousand rules name the same few."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.addresses = _Addresses(snapshot)
        self.places = _Places(snapshot)
        self._services: dict[tuple[Protocol, Ports], tuple[Spelled, ...]] = {}

    def bridges(self, network: str) -> tuple[str, ...]:
        """The bridge of a network; nothing where there is none. Raises Invalid (`quoted`)."""
        found = self.snapshot.networks.get(network)
        return (quoted(found.bridge),) if found is not None else ()

    def services(self, each: Rule | Policy) -> tuple[Spelled, ...]:
        """Its protocol and ports."""
        key = each.protocol, each.ports
        found = self._services.get(key)
        if found is None:
            found = self._services[key] = tuple(_services(*key))
        return found


class _Addresses(dict[str, tuple[str, ...]]):
    """By workload, that of its first network first (`Snapshot.addresses_of`)."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, workload: str) -> tuple[str, ...]:
        found = tuple(map(dotted, self._snapshot.addresses_of(workload)))
        self[workload] = found
        return found


class _Places(dict[str, tuple[Place, ...]]):
    """By workload; ports with names that cannot be quoted are left out."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, workload: str) -> tuple[Place, ...]:
        self[workload] = found = tuple(_places(self._snapshot, workload))
        return found


def _places(snapshot: Snapshot, workload: str) -> Iterator[Place]:
    for connection in snapshot.connections_of.get(workload, ()):
        interface = quoted(connection.interface)
        yield connection.network, interface, dotted(connection.address)
    for port in snapshot.ports_of.get(workload, ()):
        if not port.made and QUOTABLE.fullmatch(port.interface):
            address = dotted(port.address) if port.address is not None else None
            yield port.network, quoted(port.interface), address


def _services(protocol: Protocol, ports: Ports) -> Iterator[Spelled]:
    if protocol == "any":
        yield "any", ("",)
    elif not ports:
        yield "proto", (str(PROTOCOL_NUMBERS[protocol]),)
    else:
        number = PROTOCOL_NUMBERS[protocol]
        singles, blocks = split_ports(ports)
        if singles:
            yield "port", tuple(f"{number} . {port}" for port in singles)
        if blocks:
            yield "block", tuple(f"{number} . {port}" for port in blocks)


def split_ports(ports: Iterable[PortRange]) -> tuple[list[int], list[int]]:
    """The same ports as single ones and as first ports of whole blocks."""
    singles: list[int] = []
    blocks: list[int] = []
    for each in ports:
        if each.count <= _SINGLE_PORTS:
            singles += range(each.first, each.last + 1)
            continue
        begin = -(-each.first // BLOCK) * BLOCK
        end = (each.last + 1) // BLOCK * BLOCK
        singles += [*range(each.first, begin), *range(end, each.last + 1)]
        blocks += range(begin, end, BLOCK)
    return singles, blocks
