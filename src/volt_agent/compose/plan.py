"""The difference between what a project wants and what there is, as steps: plain functions.

Every step is tried on a snapshot with the decision that its call will use, so a plan that comes
back at all is one that nothing known forbids; otherwise it raises what the decision raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from ..control.messages import compose as messages
from ..control.messages import container, network, port
from ..control.method import Params
from ..errors import Refused, VoltError
from ..kernel.host import Listener
from ..model.firewall import Forward
from ..model.network import Connection, Network
from ..model.ports import parse_range
from ..model.project import Project
from ..model.route import USUAL_PORTS, IngressPorts
from ..model.snapshot import Change, Snapshot
from ..networks.decide import (
    Surroundings,
    connect,
    create_network,
    delete_network,
    disconnect,
    find_network,
)
from ..networks.lifecycle import forget
from ..rules.forward import add_forward, parse_host_ip, show_forward
from ..rules.users import check_unnamed


class Call(Struct, frozen=True):
    """A step, and the call that carries it out."""

    step: messages.Step
    method: str
    params: Params


class Plan(Struct, frozen=True):
    """`project` is what belongs to the project once all calls are done."""

    calls: tuple[Call, ...]
    notes: tuple[str, ...]
    project: Project


class Around(Struct, frozen=True):
    """What the decisions must know of the host."""

    networks: Surroundings
    listeners: Sequence[Listener] = ()
    ingress: IngressPorts = USUAL_PORTS


def plan(snapshot: Snapshot, around: Around, wanted: messages.Wanted) -> Plan:
    """The way from `snapshot` to what a project wants: first what goes, then what comes.

    A Wanted of nothing but a name takes away all that the project made.
    """
    planner = _Planner(snapshot, around, wanted)
    planner.take_away()
    planner.make()
    return planner.result()


def existing(project: Project, snapshot: Snapshot) -> Project:
    """The part of what a project made that still exists."""
    return replace(
        project,
        networks=_present(project.networks, snapshot.networks),
        workloads=_present(project.workloads, snapshot.workloads),
        connections=_present(project.connections, snapshot.connections),
        forwards=_present(project.forwards, snapshot.forwards),
    )


def union(one: Project, other: Project) -> Project:
    """What either of two states of a project lists."""
    return replace(
        one,
        networks=_both(one.networks, other.networks),
        workloads=_both(one.workloads, other.workloads),
        connections=_both(one.connections, other.connections),
        forwards=_both(one.forwards, other.forwards),
    )


def _present(keys: Iterable[str], table: Iterable[str]) -> tuple[str, ...]:
    there = set(table)
    return tuple(each for each in keys if each in there)


def _both(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


class _Planner:
    def __init__(self, snapshot: Snapshot, around: Around, wanted: messages.Wanted) -> None:
        self._snapshot, self._around = snapshot, around
        self._wanted = {each.name: each for each in wanted.networks}
        self._connections = {f"{each.network}/{each.workload}": each for each in wanted.connections}
        self._every_forward = [*map(_forward, wanted.forwards)]
        self._forwards = {each.key: each for each in self._every_forward}
        recorded = snapshot.projects.get(wanted.name, Project(wanted.name))
        self._owned = existing(recorded, snapshot)
        self._calls: list[Call] = []
        self._notes: list[str] = []
        self._made = Project(wanted.name)

    def result(self) -> Plan:
        project = existing(union(self._owned, self._made), self._snapshot)
        return Plan(tuple(self._calls), tuple(self._notes), project)

    # ---- what goes ------------------------------------------------------------------------------

    def take_away(self) -> None:
        """Forwards, connections, names and networks that nobody wants, or wants otherwise."""
        before = self._snapshot
        networks = [each for each in map(before.networks.get, self._owned.networks) if each]
        going = {each.name: each for each in networks if self._is_stale(each)}
        for key in self._owned.forwards:
            forward = before.forwards[key]
            if self._forwards.get(key) != forward:
                self._unforward(forward)
        for key in self._owned.connections:
            connection = before.connections[key]
            if connection.network in going or self._has_moved(connection):
                self._disconnect(connection)
        self._forget_names()
        for each in going.values():
            self._delete(each)
        self._forget_routes({each.bridge for each in going.values()})
        self._owned = existing(self._owned, self._snapshot)

    def _is_stale(self, network: Network) -> bool:
        wanted = self._wanted.get(network.name)
        if wanted is None or wanted.external or wanted.nat != network.nat:
            return True
        return wanted.subnet not in (None, str(network.subnet)) or (
            wanted.mtu not in (None, network.mtu)
        )

    def _has_moved(self, connection: Connection) -> bool:
        wanted = self._connections.get(connection.key)
        if wanted is None:
            return True
        return wanted.ip not in (None, str(connection.address)) or (
            wanted.mac is not None and wanted.mac.lower() != connection.mac
        )

    def _unforward(self, forward: Forward) -> None:
        self._apply(Change(delete=(forward,)))
        params = port.DeleteForward(
            host_port=str(forward.ports),
            proto=forward.protocol,
            host_ip=str(forward.host_ip or "0.0.0.0"),
        )
        self._call("unforward", show_forward(forward), "", "net.port.delete", params)

    def _disconnect(self, each: Connection) -> None:
        self._apply(disconnect(self._snapshot, each.workload, each.network, 0.0))
        params = network.Disconnect(workload=each.workload, network=each.network)
        self._call(
            "disconnect", f"{each.workload} from {each.network}", "", "net.disconnect", params
        )

    def _forget_names(self) -> None:
        """Workloads that only this project ever spoke of: as if they had never been named."""
        wanted = {each.workload for each in self._connections.values()}
        for name in self._owned.workloads:
            is_known_only = self._snapshot.state_of(name) == "pending"
            if name in wanted or not is_known_only or name in self._snapshot.connections_of:
                continue
            with suppress(Refused):  # a rule or policy names it: then it stays
                check_unnamed(self._snapshot, "workload", name)
                self._apply(forget(self._snapshot, name))
                params = container.WorkloadName(name=name)
                self._call("forget", name, "it never ran", "container.forget", params)

    def _delete(self, each: Network) -> None:
        default = self._around.networks.default_bridge
        change = delete_network(self._snapshot, each.name, default)
        check_unnamed(self._snapshot, "network", each.name)
        self._apply(change)
        params = network.NetworkName(name=each.name)
        self._call("delete", f"network {each.name}", str(each.subnet), "net.delete", params)

    def _forget_routes(self, bridges: set[str]) -> None:
        """The kernel still has the routes of bridges that the plan takes away."""
        networks = self._around.networks
        left = tuple(each for each in networks.routes if each.link not in bridges)
        around = Surroundings(
            default_bridge=networks.default_bridge,
            default_subnet=networks.default_subnet,
            default_mtu=networks.default_mtu,
            routes=left,
            devices=networks.devices,
        )
        self._around = replace(self._around, networks=around)

    # ---- what comes -----------------------------------------------------------------------------

    def make(self) -> None:
        """Networks, connections and forwards that are not there yet."""
        # Subnets and addresses that the file names come before those that volt chooses.
        for each in sorted(self._wanted.values(), key=lambda one: one.subnet is None):
            with _About(f"network {each.name}"):
                self._create(each)
        fixed = {each.workload for each in self._connections.values() if each.ip is not None}
        for place in sorted(self._connections.values(), key=lambda one: one.workload not in fixed):
            with _About(f"{place.workload} on network {place.network}"):
                self._connect(place)
        for forward in self._every_forward:
            self._forward(forward)

    def _create(self, wanted: messages.WantedNetwork) -> None:
        name, before = wanted.name, self._snapshot
        if wanted.external:
            find_network(before, name)
            return
        around = self._around.networks
        change = create_network(before, around, name, wanted.subnet, wanted.nat, wanted.mtu)
        if change.is_empty:
            self._note_foreign(name, self._owned.networks, f"network {name}")
            return
        self._apply(change)
        subnet = str(self._snapshot.networks[name].subnet)
        params = network.CreateNetwork(name=name, subnet=subnet, mtu=wanted.mtu, nat=wanted.nat)
        detail = subnet if wanted.nat else f"{subnet}, internal"
        self._call("create", f"network {name}", detail, "net.create", params)
        self._made = replace(self._made, networks=(*self._made.networks, name))

    def _connect(self, wanted: messages.WantedConnection) -> None:
        name, before = wanted.workload, self._snapshot
        key = f"{wanted.network}/{name}"
        change = connect(before, wanted.network, name, wanted.ip, wanted.mac)
        if change.is_empty:
            what = f"the connection of {name} to {wanted.network}"
            self._note_foreign(key, self._owned.connections, what)
            return
        self._apply(change)
        address = str(self._snapshot.connections[key].address)
        params = network.Connect(network=wanted.network, workload=name, ip=address, mac=wanted.mac)
        self._call("connect", f"{name} to {wanted.network}", address, "net.connect", params)
        self._made = replace(self._made, connections=(*self._made.connections, key))
        if name not in before.workloads:
            self._made = replace(self._made, workloads=(*self._made.workloads, name))

    def _forward(self, forward: Forward) -> None:
        host_port, target_port = str(forward.ports), str(forward.target_port)
        host_ip = str(forward.host_ip) if forward.host_ip is not None else None
        change = add_forward(
            self._snapshot,
            host_port,
            forward.target,
            target_port,
            forward.protocol,
            host_ip,
            self._around.listeners,
            self._around.ingress,
        )
        if change.is_empty:
            what = f"the forward {show_forward(forward)}"
            self._note_foreign(forward.key, self._owned.forwards, what)
            return
        self._apply(change)
        params = port.AddForward(
            host_port=host_port,
            target=forward.target,
            target_port=target_port,
            proto=forward.protocol,
            host_ip=host_ip,
        )
        self._call("forward", show_forward(forward), "", "net.port.add", params)
        self._made = replace(self._made, forwards=(*self._made.forwards, forward.key))

    def _note_foreign(self, key: str, owned: Iterable[str], what: str) -> None:
        if key not in owned:
            self._notes.append(f"{what} is not this project's, and stays after `down`")

    def _apply(self, change: Change) -> None:
        self._snapshot = self._snapshot.apply(change)

    def _call(
        self, action: messages.Action, what: str, detail: str, method: str, params: Params
    ) -> None:
        self._calls.append(Call(messages.Step(action, what, detail), method, params))


class _About:
    """Begins the message of an error with what it is about."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, VoltError):
            error.message = f"{self._what}: {error.message}"


def _forward(wanted: messages.WantedForward) -> Forward:
    return Forward(
        protocol=wanted.proto,
        ports=parse_range(wanted.host_port),
        target=wanted.target,
        target_port=parse_range(wanted.target_port).first,
        host_ip=parse_host_ip(wanted.host_ip),
    )
