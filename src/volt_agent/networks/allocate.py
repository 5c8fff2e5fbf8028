"""Which address and MAC a connection gets."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from ..errors import Invalid, Refused
from ..model.lease import Lease
from ..model.names import stable_mac
from ..model.network import Connection, Network, Reservation
from ..model.snapshot import Snapshot

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def choose_address(snapshot: Snapshot, network: Network, workload: str) -> IPv4Address:
    """The address leased to or kept for this workload, else the lowest never used, else the oldest
    kept one.

    An address that was released rests as long as others are free: caches out there may know it.
    Raises Refused when the subnet is full.
    """
    key = f"{network.name}/{workload}"
    kept = snapshot.leases.get(key) or snapshot.reservations.get(key)
    if kept is not None and snapshot.owners.get(kept.address) in (kept, snapshot.ports.get(key)):
        return kept.address
    owners = snapshot.owners
    first, last = int(network.subnet.network_address) + 1, int(network.subnet.broadcast_address)
    for number in range(first, last):
        address = IPv4Address(number)
        if address != network.gateway and address not in owners:
            return address
    oldest = min(
        (each for each in snapshot.reservations.values() if each.network == network.name),
        key=lambda each: each.released,
        default=None,
    )
    if oldest is None:
        raise Refused(
            f"network {network.name} is full: {network.subnet} has no free address",
            "disconnect a workload or create a network with a larger subnet",
        )
    return oldest.address


def check_address(snapshot: Snapshot, network: Network, workload: str, text: str) -> IPv4Address:
    """The address a user asked for; raises Invalid or Refused with the reason."""
    try:
        address = IPv4Address(text)
    except ValueError:
        raise Invalid(f"{text[:60]!r} is not an IPv4 address", "write it as 10.30.0.10") from None
    if address not in network.subnet:
        raise Refused(f"address {address} is outside of network {network.name} ({network.subnet})")
    if address in (network.subnet.network_address, network.subnet.broadcast_address):
        raise Refused(f"address {address} is the network or broadcast address of {network.subnet}")
    if address == network.gateway:
        raise Refused(f"address {address} is the gateway of network {network.name}")
    owner = snapshot.owners.get(address)
    if isinstance(owner, Lease) and owner.workload != workload:
        raise Refused(
            f"address {address} is leased to {owner.behind or owner.workload}",
            "volt net lease list shows until when; choose another one",
        )
    if owner is not None and not isinstance(owner, Reservation) and owner.workload != workload:
        raise Refused(
            f"address {address} is taken by {owner.workload}",
            f"volt net inspect {network.name} shows all addresses",
        )
    return address


def choose_mac(snapshot: Snapshot, network: Network, workload: str) -> str:
    """The MAC kept for this workload here, else one that follows from its name."""
    kept = snapshot.reservations.get(f"{network.name}/{workload}")
    if kept is not None:
        return kept.mac
    taken = {each.mac for each in snapshot.connections.values() if each.network == network.name}
    # A clash of two 40-bit hashes on one bridge is next to impossible; salt until it is none.
    mac, salt = stable_mac(network.name, workload), 0
    while mac in taken:
        salt += 1
        mac = stable_mac(network.name, workload, str(salt))
    return mac


def check_mac(snapshot: Snapshot, network: Network, workload: str, text: str) -> str:
    """The MAC a user asked for, in lower case; raises Invalid or Refused with the reason."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise Invalid(f"{text[:60]!r} is not a MAC address", "write it as 02:00:00:00:00:01")
    if int(mac[:2], 16) & 1:
        raise Invalid(f"MAC {mac} is a group address", "the second digit must be even")
    for each in snapshot.connections.values():
        if each.mac == mac and each.network == network.name and each.workload != workload:
            raise Refused(f"MAC {mac} is taken by {each.workload}")
    return mac


def addresses_to_free(snapshot: Snapshot, chosen: Connection) -> tuple[Reservation, ...]:
    """The reservations that give way to `chosen`: its own, and whoever kept its address."""
    own = snapshot.reservations.get(chosen.key)
    holder = snapshot.owners.get(chosen.address)
    others = [holder] if isinstance(holder, Reservation) and holder is not own else []
    return tuple([own] if own is not None else []) + tuple(others)
