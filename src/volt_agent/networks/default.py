"""The default network, as the configuration has it now: plain functions on values.

It is made at the first start. Later its MTU follows the configuration, and so does its subnet while
nobody holds an address of it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from ..errors import Refused
from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from .decide import Surroundings, create_network
from .subnets import check_free

_NAMED = 3


def make_default(snapshot: Snapshot, around: Surroundings) -> Change:
    """The default network, made or with the configured MTU. Raises Refused for a clash."""
    made = snapshot.networks.get(around.default_bridge)
    if made is None:
        return create_network(snapshot, around, around.default_bridge, str(around.default_subnet))
    if made.mtu == around.default_mtu:
        return Change()
    return Change(put=(replace(made, mtu=around.default_mtu),))


def move_default(snapshot: Snapshot, around: Surroundings, ports: Collection[str]) -> Change:
    """The default network on its configured subnet; addresses that were kept on it are free.

    `ports` are the interfaces on its bridge. Raises Refused, with what to do, while it is in use.
    """
    made, wanted = snapshot.networks[around.default_bridge], around.default_subnet
    if made.subnet == wanted:
        return Change()
    _check_unused(snapshot, made, ports)
    others = [each for each in snapshot.networks.values() if each.name != made.name]
    routes = [each for each in around.routes if each.link != made.bridge]
    check_free(wanted, others, routes)
    kept = [each for each in snapshot.reservations.values() if each.network == made.name]
    moved = replace(made, subnet=wanted, gateway=wanted.network_address + 1)
    return Change(delete=tuple(kept), put=(moved,))


def _check_unused(snapshot: Snapshot, network: Network, ports: Collection[str]) -> None:
    connections = [each for each in snapshot.connections.values() if each.network == network.name]
    own = {each.interface for each in connections}
    users = sorted({*(each.workload for each in connections), *(set(ports) - own)})
    if users:
        more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
        raise Refused(
            f"{', '.join(users[:_NAMED])}{more} use it",
            f"volt net disconnect WORKLOAD --network {network.name}, for each of them",
        )
