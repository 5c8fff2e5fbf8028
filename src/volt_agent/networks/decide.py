"""What the commands about networks change: plain functions from a snapshot to a Change.

Each raises Invalid, NotFound or Refused instead, and then nothing happens. Repeating a command that
has been carried out already returns an empty Change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from ..errors import Invalid, NotFound, Refused
from ..kernel.state import Route
from ..model.lookup import find
from ..model.names import bridge_interface, check_name, port_interface
from ..model.network import Connection, Kind, Network, Reservation
from ..model.snapshot import Change, Object, Snapshot
from ..model.workload import Workload
from .allocate import addresses_to_free, check_address, check_mac, choose_address, choose_mac
from .subnets import check_free, next_free, parse_subnet

# BR_MAX_PORTS in net/bridge/br_private.h. The kernel keeps number 0 for itself, so the last of them
# stays pending while all others run, with the kernel's reason (EXFULL) in `volt net inspect`.
BRIDGE_PORTS_MAX = 1024
# Addresses kept for workloads that are gone; beyond it the longest gone are forgotten.
RESERVATIONS_MAX = 1024
# IPv4 needs 68 (RFC 791); below 576 hosts need not accept our datagrams whole. Above: the kernel's
# limit for taps (IPv4 allows 65535, and a tap adds its Ethernet header).
MTU_MIN, MTU_MAX = 576, 65521
PREFIX: dict[str, str] = {"container": "vc-", "vm": "vt-"}


class Surroundings(Struct, frozen=True):
    """What decisions about networks must know of the host: configuration and kernel.

    `devices` are the interface names that exist and are not volt's.
    """

    default_bridge: str
    default_subnet: IPv4Network
    default_mtu: int
    routes: tuple[Route, ...] = ()
    devices: Collection[str] = ()


def create_network(
    snapshot: Snapshot,
    around: Surroundings,
    name: str,
    subnet: str | None = None,
    nat: bool | None = None,
    mtu: int | None = None,
    port_security: bool | None = None,
) -> Change:
    """A new network; None means the default (or, for a repeated create, whatever it is)."""
    check_name("network", name)
    if mtu is not None and not MTU_MIN <= mtu <= MTU_MAX:
        raise Invalid(f"MTU {mtu} is out of range", f"use {MTU_MIN} to {MTU_MAX}")
    wanted = parse_subnet(subnet) if subnet is not None else None
    existing = snapshot.networks.get(name)
    if existing is not None:
        asked = {"subnet": wanted, "nat": nat, "mtu": mtu, "port_security": port_security}
        _check_same(existing, {key: value for key, value in asked.items() if value is not None})
        return Change()
    bridge = name if name == around.default_bridge else bridge_interface(name)
    if bridge in around.devices:
        raise Refused(
            f"a device {bridge} exists on this host and is not volt's",
            f"choose another name, or remove it: ip link delete {bridge}",
        )
    if wanted is None:
        wanted = next_free(around.default_subnet, snapshot.networks.values(), around.routes)
    check_free(wanted, snapshot.networks.values(), around.routes)
    network = Network(
        name=name,
        bridge=bridge,
        subnet=wanted,
        gateway=wanted.network_address + 1,
        mtu=around.default_mtu if mtu is None else mtu,
        nat=nat is not False,
        port_security=port_security is not False,
    )
    return Change(put=(network,))


def _check_same(existing: Network, asked: dict[str, object]) -> None:
    for field, value in asked.items():
        present = getattr(existing, field)
        if value != present:
            raise Refused(
                f"network {existing.name} exists with {field.replace('_', ' ')} {_word(present)}, "
                f"not {_word(value)}",
                f"volt net inspect {existing.name} shows it; delete it first to change it",
            )


def _word(value: object) -> str:
    return (
        {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def find_network(snapshot: Snapshot, name: str) -> Network:
    """The network called `name`; raises NotFound with what was perhaps meant."""
    return find("network", name, snapshot.networks)


def delete_network(snapshot: Snapshot, name: str, default_bridge: str) -> Change:
    """Without the network and the addresses kept or leased on it.

    Refused for the default network and one in use.
    """
    network = find_network(snapshot, name)
    if name == default_bridge:
        raise Refused(f"{name} is the default network and cannot be deleted")
    users = [each.workload for each in snapshot.connections.values() if each.network == name]
    users += [each.workload for each in snapshot.ports.values() if each.network == name]
    if users:
        names = sorted(set(users))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise Refused(
            f"network {name} is in use by {', '.join(names[:3])}{more}",
            f"volt net disconnect {names[0]} --network {name}",
        )
    uplink = next((each.name for each in snapshot.vlans.values() if each.network == name), None)
    if uplink is not None:
        raise Refused(f"{uplink} is an uplink of network {name}", f"volt net vlan delete {uplink}")
    kept: list[Object] = [each for each in snapshot.reservations.values() if each.network == name]
    kept += [each for each in snapshot.leases.values() if each.network == name]
    return Change(delete=(network, *kept))


def connect(
    snapshot: Snapshot,
    network_name: str,
    workload: str,
    ip: str | None = None,
    mac: str | None = None,
    kind: Kind | None = None,
    port_security: bool | None = None,
    automatic: bool = False,
) -> Change:
    """A workload's place on a network, known or not, running or not."""
    check_name("workload", workload)
    network = find_network(snapshot, network_name)
    known = snapshot.workloads.get(workload)
    existing = snapshot.connections.get(f"{network_name}/{workload}")
    kind = _kind_for(snapshot, known, kind, workload)
    if existing is not None and not existing.automatic:
        return _reconnect(snapshot, network, existing, ip, mac, kind, port_security)
    _check_room(snapshot, network)
    # An explicit connect replaces what auto_connect did.
    replaced = [one for one in snapshot.connections_of.get(workload, ()) if one.automatic]
    before = snapshot.apply(Change(delete=tuple(replaced), put=tuple(map(_keep, replaced))))
    slots = {one.slot for one in before.connections_of.get(workload, ())}
    slot = next(number for number in range(BRIDGE_PORTS_MAX) if number not in slots)
    connection = Connection(
        network=network_name,
        workload=workload,
        kind=kind,
        address=(
            check_address(before, network, workload, ip)
            if ip is not None
            else choose_address(before, network, workload)
        ),
        mac=(
            check_mac(before, network, workload, mac)
            if mac is not None
            else choose_mac(before, network, workload)
        ),
        interface=_free_interface(before, network_name, workload, kind),
        slot=slot,
        port_security=port_security is not False,
        automatic=automatic,
    )
    freed = addresses_to_free(before, connection)
    put: list[Object] = [each for each in map(_keep, replaced) if each not in freed]
    if known is None:
        put.append(Workload(name=workload, kind=kind))
    elif known.detached or known.kind != kind:
        put.append(replace(known, detached=False, kind=kind))
    gone = [each for each in freed if snapshot.find(each) is not None]
    return Change(delete=(*replaced, *gone), put=(*put, connection))


def _kind_for(
    snapshot: Snapshot, known: Workload | None, asked: Kind | None, workload: str
) -> Kind:
    """What was asked for, unless the workload was seen to be something else."""
    instance = snapshot.instances.get(workload)
    if instance is None and known is None:
        return asked or "container"
    kind = instance.kind if instance is not None else known.kind if known else "container"
    seen = instance is not None or (known is not None and known.runtime is not None)
    if asked is not None and asked != kind and seen:
        raise Refused(
            f"{workload} {'runs' if instance else 'last ran'} as a {kind}, so it cannot be"
            f" connected as a {asked}",
            f"leave out --kind, or give the {asked} a name of its own",
        )
    return asked or kind


def _reconnect(
    snapshot: Snapshot,
    network: Network,
    existing: Connection,
    ip: str | None,
    mac: str | None,
    kind: Kind,
    port_security: bool | None,
) -> Change:
    """The same again changes nothing; another kind before the first start changes the port."""
    name, where = existing.workload, f"{existing.workload} is already connected to {network.name}"
    first = f"volt net disconnect {name} --network {network.name} first"
    if ip is not None and check_address(snapshot, network, name, ip) != existing.address:
        raise Refused(f"{where} with address {existing.address}", first)
    if mac is not None and check_mac(snapshot, network, name, mac) != existing.mac:
        raise Refused(f"{where} with MAC {existing.mac}", first)
    changed = existing
    if port_security is not None and port_security != existing.port_security:
        changed = replace(changed, port_security=port_security)
    put: list[Object] = []
    if kind != existing.kind:
        interface = _free_interface(snapshot, network.name, name, kind)
        changed = replace(changed, kind=kind, interface=interface)
        put.append(replace(snapshot.workloads[name], kind=kind))
    if changed is existing:
        return Change()
    return Change(put=(*put, changed))


def _check_room(snapshot: Snapshot, network: Network) -> None:
    users = {
        each.workload for each in snapshot.connections.values() if each.network == network.name
    }
    users |= {each.workload for each in snapshot.ports.values() if each.network == network.name}
    if len(users) >= BRIDGE_PORTS_MAX:
        raise Refused(
            f"network {network.name} has {BRIDGE_PORTS_MAX} ports, all that a Linux bridge takes",
            "create another network for further workloads",
        )


def _free_interface(snapshot: Snapshot, network: str, workload: str, kind: Kind) -> str:
    taken = {
        each.interface
        for each in snapshot.connections.values()
        if each.key != f"{network}/{workload}"
    }
    plain = port_interface(PREFIX[kind], network, workload, first=True)
    if plain not in taken:
        return plain
    return port_interface(PREFIX[kind], network, workload, first=False)


def disconnect(snapshot: Snapshot, workload: str, network_name: str | None, now: float) -> Change:
    """Off one network, or off all of them. Addresses stay reserved for a return.

    `now` is the wall-clock time in seconds since the epoch.
    """
    if network_name is not None:
        find_network(snapshot, network_name)
    known = find("workload", workload, snapshot.workloads)
    everywhere = snapshot.connections_of.get(workload, ())
    going = [one for one in everywhere if network_name in (None, one.network)]
    if not going:
        where = network_name or "any network"
        raise NotFound(
            f"{workload} is not connected to {where}", f"volt container inspect {workload}"
        )
    put: list[Object] = [_keep(one, now) for one in going]
    if len(going) == len(everywhere):
        put.append(replace(known, detached=True))
    return Change(delete=(*going, *_too_many_kept(snapshot, going)), put=tuple(put))


def _keep(connection: Connection, now: float = 0.0) -> Reservation:
    return Reservation(
        network=connection.network,
        workload=connection.workload,
        address=connection.address,
        mac=connection.mac,
        released=now,
    )


def _too_many_kept(snapshot: Snapshot, going: Iterable[Connection]) -> list[Reservation]:
    surplus = []
    for network in {one.network for one in going}:
        kept = [each for each in snapshot.reservations.values() if each.network == network]
        kept.sort(key=lambda each: each.released)
        surplus += kept[: max(0, len(kept) + 1 - RESERVATIONS_MAX)]
    return surplus
