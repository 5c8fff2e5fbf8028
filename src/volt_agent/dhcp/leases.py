"""What a message leads to, and what that changes: plain functions.

The rows of RFC 2131, section 4.3. volt is the only DHCP server on its bridges (the guard drops the
answers of others), so a client that asks for an address which is not its own is refused at once
instead of left to its timers.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct
from msgspec.structs import replace

from ..errors import Refused
from ..model.lease import Lease
from ..model.network import Reservation
from ..model.snapshot import Change, Object, Snapshot
from ..networks.decide import RESERVATIONS_MAX
from .clients import Client
from .message import Kind, Message
from .pool import Pool

_NOBODY = IPv4Address(0)


class Offer(Struct, frozen=True):
    """Say that it could have `address`."""

    address: IPv4Address


class Grant(Struct, frozen=True):
    """Give it `address`, or for longer."""

    address: IPv4Address


class Refuse(Struct, frozen=True):
    """Tell it to begin again: the address is not its own."""

    why: str


class Inform(Struct, frozen=True):
    """Tell it about the network; it has an address."""


class End(Struct, frozen=True):
    """It gives `lease` back."""

    lease: Lease


class Decline(Struct, frozen=True):
    """It has found that somebody else uses `address`."""

    address: IPv4Address


class Exhausted(Struct, frozen=True):
    """There is no address for it: say nothing, so that it goes on asking (section 4.3.1)."""


class Silence(Struct, frozen=True):
    """It is none of our business, or a lie."""


Outcome = Offer | Grant | Refuse | Inform | End | Decline | Exhausted | Silence


def decide(
    message: Message,
    source: IPv4Address,
    client: Client,
    snapshot: Snapshot,
    pool: Pool,
    now: float,
) -> Outcome:
    """What to do about `message` of `client`, sent from `source`. Changes nothing."""
    if message.server not in (None, client.network.gateway):
        return Silence()
    match message.kind:
        case Kind.DISCOVER:
            address = pool.choose(snapshot, client, message.requested, now)
            return Exhausted() if address is None else Offer(address)
        case Kind.REQUEST:
            return _request(message, client, snapshot, pool)
        case Kind.DECLINE:
            return _decline(message, client, snapshot, pool)
        case Kind.RELEASE:
            return _release(message, source, client, snapshot)
        case Kind.INFORM:
            return _inform(message, source, client, snapshot)
        case _:
            return Silence()


def _request(message: Message, client: Client, snapshot: Snapshot, pool: Pool) -> Outcome:
    """SELECTING and INIT-REBOOT name the address in an option, RENEWING and REBINDING in ciaddr."""
    wanted = message.requested or message.ciaddr
    if wanted == _NOBODY:
        return Silence()
    own = pool.own(snapshot, client)
    if wanted == own:
        return Grant(wanted)
    if wanted not in client.network.subnet:
        return Refuse(f"{wanted} is not of this network")
    return Refuse(f"{wanted} is not yours")


def _decline(message: Message, client: Client, snapshot: Snapshot, pool: Pool) -> Outcome:
    address = message.requested
    if address is None or address != pool.own(snapshot, client):
        return Silence()
    return Decline(address)


def _release(message: Message, source: IPv4Address, client: Client, snapshot: Snapshot) -> Outcome:
    lease = snapshot.leases.get(client.key)
    if lease is None or lease.address != message.ciaddr:
        return Silence()
    return End(lease) if message.is_relayed or source == message.ciaddr else Silence()


def _inform(message: Message, source: IPv4Address, client: Client, snapshot: Snapshot) -> Outcome:
    owner = snapshot.owners.get(message.ciaddr)
    is_own = owner is not None and owner.key == client.key and not isinstance(owner, Reservation)
    return Inform() if is_own and source == message.ciaddr else Silence()


# ---- what that changes --------------------------------------------------------------------------


def grant(snapshot: Snapshot, client: Client, address: IPv4Address, expires: float) -> Change:
    """With a lease of `address`, the client's port bound to it; empty if there is nothing new.

    Raises Refused if the port is gone or the address was taken meanwhile.
    """
    key = client.key
    port = snapshot.ports.get(client.port.key)
    if port is None or port.ifindex != client.port.ifindex:
        raise Refused(f"the port of {client.port.workload} is gone")
    owner = snapshot.owners.get(address)
    if owner is not None and owner.key != key and not isinstance(owner, Reservation):
        raise Refused(f"{address} was taken by {owner.workload}")
    connection = snapshot.connections.get(key)
    if connection is not None and connection.address != address:
        raise Refused(f"{client.workload} is connected with {connection.address}")
    put: list[Object] = []
    if not is_same(snapshot.leases.get(key), client, address):
        put.append(
            Lease(
                network=client.network.name,
                workload=client.workload,
                address=address,
                mac=client.mac,
                expires=expires,
                ifindex=port.ifindex,
                behind=client.behind,
            )
        )
    bound = replace(port, mac=client.mac, address=address)
    if client.behind is None and not port.made and bound != port:
        put.append(bound)
    own = snapshot.reservations.get(key)
    freed = {each.key: each for each in (own, owner) if isinstance(each, Reservation)}
    return Change(put=tuple(put), delete=tuple(freed.values()))


def is_same(lease: Lease | None, client: Client, address: IPv4Address) -> bool:
    """Whether `lease` says already that this client has `address`, so that this is a renewal."""
    return lease is not None and (lease.address, lease.mac, lease.ifindex) == (
        address,
        client.mac,
        client.port.ifindex,
    )


def end(snapshot: Snapshot, lease: Lease, now: float, keep: bool = True) -> Change:
    """Without `lease`, its port no longer bound; `keep`: its address is kept for its return.

    `now` is wall-clock time. Clients behind a port keep nothing: there may be any number of them.
    """
    if snapshot.leases.get(lease.key) is not lease:
        return Change()
    put: list[Object] = []
    delete: list[Object] = [lease]
    port = snapshot.ports.get(lease.key)
    if port is not None and not port.made and port.address == lease.address:
        put.append(replace(port, mac=None, address=None))
    if keep and lease.behind is None and lease.key not in snapshot.connections:
        put.append(
            Reservation(
                network=lease.network,
                workload=lease.workload,
                address=lease.address,
                mac=lease.mac,
                released=now,
            )
        )
        delete += _surplus(snapshot, lease.network)
    return Change(put=tuple(put), delete=tuple(delete))


def _surplus(snapshot: Snapshot, network: str) -> list[Reservation]:
    """Who has been away longest, where one more would be too many."""
    kept = [each for each in snapshot.reservations.values() if each.network == network]
    kept.sort(key=lambda each: each.released)
    return kept[: max(0, len(kept) + 1 - RESERVATIONS_MAX)]
