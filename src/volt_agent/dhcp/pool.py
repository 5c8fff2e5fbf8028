"""Which address a client gets, and which nobody gets for a while."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from ..model.network import Network, Reservation
from ..model.snapshot import Snapshot
from .clients import Client

# Seconds. An offer waits while a client compares several; an address that somebody was found to use
# is left alone until that may have been put right; one that was given back may still be known to
# the caches of others.
OFFER_HOLD = 30.0
DECLINED_REST = 600.0
REST = 60.0
# A port without port security may have others behind it: nested machines, a relay's clients. It
# never gets the last eighth of a subnet.
BEHIND_MAX = 512
LEFT_FOR_OTHERS = 8
# What one port may have put to rest by declining it (RFC 2131, section 4.3.3).
DECLINES_MAX = 4


class Offer(NamedTuple):
    address: IPv4Address
    until: float
    behind: str | None


class Rest(NamedTuple):
    until: float
    because_of: str | None = None  # the port that declined it, NETWORK/WORKLOAD


class Pool:
    """Offers and resting addresses: what is not worth storing. Time is the caller's, in seconds."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}  # client key -> what it was offered
        self._resting: dict[IPv4Address, Rest] = {}

    def __repr__(self) -> str:
        return f"<Pool [{len(self._offers)} offers, {len(self._resting)} resting]>"

    def offer(self, client: Client, address: IPv4Address, now: float) -> None:
        """Hold `address` for `client`, instead of what it was offered before."""
        self._offers[client.key] = Offer(address, now + OFFER_HOLD, client.behind)

    def offered(self, client: Client) -> IPv4Address | None:
        offer = self._offers.get(client.key)
        return offer.address if offer is not None else None

    def withdraw(self, key: str) -> None:
        self._offers.pop(key, None)

    def rest(self, address: IPv4Address, until: float) -> None:
        self._resting[address] = Rest(until)

    def decline(self, client: Client, address: IPv4Address, now: float) -> bool:
        """Let `address` rest: `client` saw somebody use it. False if it says so too often."""
        self.prune(now)
        culprit = client.port.key
        if sum(each.because_of == culprit for each in self._resting.values()) >= DECLINES_MAX:
            return False
        self._resting[address] = Rest(now + DECLINED_REST, culprit)
        return True

    def prune(self, now: float) -> None:
        """Forget what is over."""
        self._offers = {key: each for key, each in self._offers.items() if each.until > now}
        self._resting = {key: each for key, each in self._resting.items() if each.until > now}

    # ---- which address --------------------------------------------------------------------------

    def own(self, snapshot: Snapshot, client: Client) -> IPv4Address | None:
        """The address that is this client's already: connected, leased, kept or offered."""
        connection = snapshot.connections.get(client.key)
        if connection is not None:
            return connection.address
        lease = snapshot.leases.get(client.key)
        kept = snapshot.reservations.get(client.key)
        for address in (
            lease.address if lease is not None else None,
            self.offered(client),
            kept.address
            if kept is not None and snapshot.owners.get(kept.address) is kept
            else None,
        ):
            if address is not None and address not in self._resting:
                return address
        return None

    def choose(
        self, snapshot: Snapshot, client: Client, asked: IPv4Address | None, now: float
    ) -> IPv4Address | None:
        """Its own address, or the one asked for if that is free, the lowest that is, or the one
        that was kept longest for somebody else. None where the client can have none."""
        self.prune(now)
        own = self.own(snapshot, client)
        if own is not None:
            return own
        if client.behind is not None and not self._has_room_behind(snapshot, client):
            return None
        held = {each.address for each in self._offers.values()} | self._resting.keys()
        owners, network = snapshot.owners, client.network
        if asked is not None and asked not in owners and asked not in held and _in(network, asked):
            return asked
        for address in _addresses(network):
            if address not in owners and address not in held:
                return address
        return _longest_kept(snapshot, network, held, now - REST)

    def _has_room_behind(self, snapshot: Snapshot, client: Client) -> bool:
        network, behind = client.network, client.behind
        prefix = f"{network.name}/"
        used = sum(
            each.network == network.name and each.behind == behind
            for each in snapshot.leases.values()
        ) + sum(
            each.behind == behind and key.startswith(prefix) and key not in snapshot.leases
            for key, each in self._offers.items()
        )
        size = network.subnet.num_addresses
        return used < min(BEHIND_MAX, size - size // LEFT_FOR_OTHERS - 3)


def _in(network: Network, address: IPv4Address) -> bool:
    """Whether a workload can have it."""
    subnet = network.subnet
    ends = (subnet.network_address, subnet.broadcast_address, network.gateway)
    return address in subnet and address not in ends


def _addresses(network: Network) -> Iterator[IPv4Address]:
    first, last = network.subnet.network_address, network.subnet.broadcast_address
    for number in range(int(first) + 1, int(last)):
        address = IPv4Address(number)
        if address != network.gateway:
            yield address


def _longest_kept(
    snapshot: Snapshot, network: Network, held: set[IPv4Address], before: float
) -> IPv4Address | None:
    """The address whose workload has been away longest, since `before` at least."""
    gone = (
        each
        for each in snapshot.reservations.values()
        if each.network == network.name and each.released <= before and each.address not in held
    )
    oldest: Reservation | None = min(gone, key=lambda each: each.released, default=None)
    return oldest.address if oldest is not None else None
