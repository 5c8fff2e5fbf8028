"""Who may see which names: decided by the address that asks, on the bridge where it asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address

from msgspec import Struct

from ..model.network import Connection, Network, Reservation
from ..model.snapshot import Change, Object, Snapshot
from ..model.workload import Port
from .cache import Tails

# Asking addresses whose view is remembered, per bridge. Sources can be forged where port security
# is off, so there has to be an end; past it all of them are worked out again (15 us each).
ASKERS_LIMIT = 8192


class Sight(Struct, frozen=True):
    """What an asker sees. `asked` is the network whose gateway was asked; its addresses come first.

    `networks` are those whose names are visible, in the order in which their addresses are told;
    None is all of them, which is what the host itself sees.
    """

    asked: str
    networks: tuple[str, ...] | None

    def sees(self, network: str) -> bool:
        return self.networks is None or network in self.networks

    def rank(self, port: Port) -> int:
        """Where the address of a visible port stands in an answer; lower comes first."""
        if port.network == self.asked:
            return -1
        return 0 if self.networks is None else self.networks.index(port.network)

    def __str__(self) -> str:
        return "the host: all networks" if self.networks is None else ", ".join(self.networks)


class View:
    """All askers with the same sight, and the tails that are ready for them.

    `ready` finds the tail for a packet without its id; it is there for the listener, which saves a
    look-up by it.
    """

    __slots__ = ("ready", "sight", "tails")

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.tails: Tails = {}
        self.ready = self.tails.get

    def __repr__(self) -> str:
        return f"<View on {self.sight.asked} [{self.sight}; {len(self.tails)} tails]>"


class Subnets:
    """The subnets of all networks, sorted; they never overlap."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        ordered = sorted(networks, key=lambda each: int(each.subnet.network_address))
        self._first = [int(each.subnet.network_address) for each in ordered]
        self._last = [int(each.subnet.broadcast_address) for each in ordered]
        self._networks = ordered
        self.gateways = frozenset(each.gateway for each in ordered)

    def holding(self, address: IPv4Address) -> Network | None:
        """The network whose subnet contains `address`."""
        return self.holding_all(int(address), int(address))

    def holding_all(self, first: int, last: int) -> Network | None:
        """The network whose subnet contains every address from `first` to `last`."""
        at = bisect_right(self._first, first) - 1
        return self._networks[at] if at >= 0 and last <= self._last[at] else None

    def reach_into(self, first: int, last: int) -> bool:
        """Whether any subnet has an address from `first` to `last`."""
        at = bisect_right(self._first, last) - 1
        return at >= 0 and self._last[at] >= first


def sight_of(snapshot: Snapshot, subnets: Subnets, network: Network, source: IPv4Address) -> Sight:
    """What `source` sees when it asks on `network`.

    A workload sees the networks it is on. An address of the subnet that nobody owns sees just this
    network, and so does one that belongs to another network: it cannot have come this way honestly.
    Whatever is left is an address of the host's own: it sees all.
    """
    home = subnets.holding(source)
    if home is None or source in subnets.gateways:
        return Sight(network.name, None)
    owner = snapshot.owners.get(source)
    if home.name != network.name or owner is None or isinstance(owner, Reservation):
        return Sight(network.name, (network.name,))
    return Sight(network.name, _networks_of(snapshot, owner.workload, network.name))


def _networks_of(snapshot: Snapshot, workload: str, first: str) -> tuple[str, ...]:
    connected = (each.network for each in snapshot.connections_of.get(workload, ()))
    seen = (each.network for each in snapshot.ports_of.get(workload, ()))
    return tuple(dict.fromkeys((first, *connected, *seen)))


class Views:
    """The views in use, and who has which. Follows the snapshot; `askers` is read by listeners.

    `forgotten` counts the askers whose view was put in question by changes.
    """

    def __init__(self) -> None:
        self._views: dict[Sight, View] = {}
        self._askers: dict[str, dict[bytes, View]] = {}
        self.subnets = Subnets()
        self.forgotten = 0

    def askers(self, network: str) -> dict[bytes, View]:
        """The known askers on `network` (source address, packed -> view): the same dictionary until
        `leave`, so that a listener may hold on to it."""
        return self._askers.setdefault(network, {})

    def leave(self, network: str) -> None:
        """Nobody listens on `network` any more."""
        self._askers.pop(network, None)

    def view(self, sight: Sight) -> View:
        """The view of all who see this."""
        found = self._views.get(sight)
        if found is None:
            found = self._views[sight] = View(sight)
        return found

    def meet(self, snapshot: Snapshot, network: Network, source: bytes) -> View:
        """The view of an asker that is not among `askers` yet."""
        known = self.askers(network.name)
        if len(known) >= ASKERS_LIMIT:
            known.clear()
        found = self.view(sight_of(snapshot, self.subnets, network, IPv4Address(source)))
        known[source] = found
        return found

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> bool:
        """Forget the askers whose sight `change` may have changed; costs nothing for the others.

        Returns whether networks came, went or changed: then all askers are forgotten.
        """
        touched = list(change.touched())
        if any(isinstance(each, Network) for each in touched):
            self._start_over(new)
            return True
        for network, address in _askers_of(old, new, touched):
            self._forget(network, address)
        return False

    def start(self, snapshot: Snapshot) -> None:
        """Take in a first snapshot."""
        self._start_over(snapshot)

    def _forget(self, network: str, address: bytes) -> None:
        if self._askers.get(network, {}).pop(address, None) is not None:
            self.forgotten += 1

    def _start_over(self, snapshot: Snapshot) -> None:
        self.subnets = Subnets(snapshot.networks.values())
        for known in self._askers.values():
            known.clear()
        there = snapshot.networks.keys()
        for sight in [each for each in self._views if not there >= _mentioned(each)]:
            del self._views[sight]


def _mentioned(sight: Sight) -> set[str]:
    return {sight.asked, *(sight.networks or ())}


def _askers_of(old: Snapshot, new: Snapshot, touched: Iterable[Object]) -> set[tuple[str, bytes]]:
    """From where the workloads of touched objects ask, before and after: (network, address)."""
    concerned = [each for each in touched if isinstance(each, Connection | Port | Reservation)]
    workloads = {each.workload for each in concerned}
    places = list[Object | None]()
    for snapshot in (old, new):
        places += map(snapshot.find, concerned)
        for workload in workloads:
            places += snapshot.connections_of.get(workload, ())
            places += snapshot.ports_of.get(workload, ())
    return {
        (each.network, each.address.packed)
        for each in places
        if isinstance(each, Connection | Port | Reservation) and each.address is not None
    }
