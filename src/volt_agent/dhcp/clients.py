"""Who asks: decided by the port that a message came from, never by what it says of itself."""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct

from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from ..model.workload import Port


class Client(Struct, frozen=True):
    """Somebody on `network` who may have one lease.

    `workload` is that of `port`; for a client behind a port without port security it is the MAC
    with hyphens, and `behind` the workload whose port it is.
    """

    network: Network
    workload: str
    mac: str
    port: Port
    behind: str | None = None

    @property
    def key(self) -> str:
        return f"{self.network.name}/{self.workload}"


def client_at(snapshot: Snapshot, network: Network, port: Port, mac: str) -> Client | None:
    """Who speaks with `mac` from `port`; None for a bound port's second MAC.

    The first MAC that a port is heard of with is the workload's own, unless volt chose it.
    """
    if port.network != network.name:
        return None
    if port.mac in (None, mac):
        return Client(network, port.workload, mac, port)
    return None if is_secured(snapshot, port) else _behind(network, port, mac)


def relayed_client(
    snapshot: Snapshot, network: Network, port: Port, relay: IPv4Address, mac: str
) -> Client | None:
    """Who speaks through the relay agent at `relay`, behind `port` (RFC 1542, section 4).

    A relay is a workload of the network itself, with port security off: it passes on what others
    say, and addresses of another subnet would be of no use behind it.
    """
    owner = snapshot.owners.get(relay)
    is_own = relay in network.subnet and (owner is None or owner.key == port.key)
    if port.network != network.name or not is_own or relay == network.gateway:
        return None
    return None if is_secured(snapshot, port) else _behind(network, port, mac)


def _behind(network: Network, port: Port, mac: str) -> Client:
    return Client(network, mac.replace(":", "-"), mac, port, port.workload)


def is_secured(snapshot: Snapshot, port: Port) -> bool:
    """Whether the guard binds this port to one MAC and address."""
    network = snapshot.networks.get(port.network)
    connection = snapshot.connections.get(port.key)
    return (network is None or network.port_security) and (
        connection is None or connection.port_security
    )


class Places:
    """The ports by MAC and by ifindex. Follows the snapshot."""

    def __init__(self) -> None:
        self._by_mac: dict[tuple[str, str], Port] = {}
        self._by_index: dict[int, Port] = {}

    def __repr__(self) -> str:
        return f"<Places [{len(self._by_index)} ports]>"

    def with_mac(self, network: str, mac: str) -> Port | None:
        """The port that is known to have `mac`."""
        return self._by_mac.get((network, mac))

    def with_index(self, ifindex: int) -> Port | None:
        return self._by_index.get(ifindex)

    def start(self, snapshot: Snapshot) -> None:
        self._by_mac.clear()
        self._by_index.clear()
        for port in snapshot.ports.values():
            self._add(port)

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        """Costs what `change` touches."""
        keys = [each.key for each in change.touched() if isinstance(each, Port)]
        for before in (old.ports.get(key) for key in keys):
            if before is not None:
                self._by_mac.pop((before.network, before.mac or ""), None)
                self._by_index.pop(before.ifindex, None)
        for after in (new.ports.get(key) for key in keys):
            if after is not None:
                self._add(after)

    def _add(self, port: Port) -> None:
        self._by_index[port.ifindex] = port
        if port.mac is not None:
            self._by_mac[port.network, port.mac] = port
