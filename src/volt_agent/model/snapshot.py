"""Everything at one moment, immutable; and the step from one moment to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .confirm import Unconfirmed
from .firewall import Forward, Policy, Rule
from .host import FormerSetting, HostPolicy, TunedSetting
from .lease import Lease
from .network import Connection, Network, Reservation
from .project import Project
from .route import Route
from .vlan import Vlan
from .workload import Instance, Port, State, Workload

Desired = (
    Network
    | Connection
    | Reservation
    | Lease
    | Workload
    | Rule
    | Policy
    | Forward
    | Route
    | Unconfirmed
    | FormerSetting
    | TunedSetting
    | Project
    | Vlan
)
Observed = Instance | Port | HostPolicy
Object = Desired | Observed

# Which objects are kept in the store: what a user asked for or must find again. Everything else is
# seen anew after a restart.
DESIRED: tuple[type[Desired], ...] = (
    Network,
    Connection,
    Reservation,
    Lease,
    Workload,
    Rule,
    Policy,
    Forward,
    Route,
    Unconfirmed,
    FormerSetting,
    TunedSetting,
    Project,
    Vlan,
)


class Change(Struct, frozen=True):
    """What one commit does. `delete` holds whole objects: planes need to know what went."""

    put: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.put and not self.delete

    @property
    def is_durable(self) -> bool:
        """Whether the store has to know."""
        return any(isinstance(each, DESIRED) for each in (*self.put, *self.delete))

    def touched(self) -> Iterable[Object]:
        """Every object that comes, changes or goes (a changed one in its new form)."""
        yield from self.delete
        yield from self.put


class Snapshot(Struct, frozen=True):
    """All state at one moment. Never changed: `apply` returns the next one.

    The tables are keyed by each object's `key`: a name, "NETWORK/WORKLOAD",
    or what identifies a forward. The three
    indexes are kept in step with them. Copying costs one dict copy per touched table (about 10 us
    per 1,000 entries), so a commit may touch any number of objects.
    """

    revision: int = 0
    host: HostPolicy = HostPolicy()
    networks: Mapping[str, Network] = {}
    connections: Mapping[str, Connection] = {}
    reservations: Mapping[str, Reservation] = {}
    leases: Mapping[str, Lease] = {}
    workloads: Mapping[str, Workload] = {}
    rules: Mapping[str, Rule] = {}
    policies: Mapping[str, Policy] = {}
    forwards: Mapping[str, Forward] = {}
    routes: Mapping[str, Route] = {}
    unconfirmed: Mapping[str, Unconfirmed] = {}
    former_settings: Mapping[str, FormerSetting] = {}
    projects: Mapping[str, Project] = {}
    tuned: Mapping[str, TunedSetting] = {}
    vlans: Mapping[str, Vlan] = {}
    instances: Mapping[str, Instance] = {}
    ports: Mapping[str, Port] = {}
    # Indexes: the connections of a workload in slot order, the ports of a workload in the order of
    # its connections, and who owns an address (connected, reserved or leased) of volt's.
    connections_of: Mapping[str, tuple[Connection, ...]] = {}
    ports_of: Mapping[str, tuple[Port, ...]] = {}
    owners: Mapping[IPv4Address, Connection | Reservation | Lease | Port] = {}

    def apply(self, change: Change) -> Snapshot:
        """The snapshot after `change`: deletions first, then what is put."""
        draft = _Draft(self)
        for each in change.delete:
            draft.delete(each)
        for each in change.put:
            draft.put(each)
        return draft.finish()

    def inverse(self, change: Change) -> Change:
        """The change that leads from `self.apply(change)` back to this snapshot."""
        put, delete = [], []
        for each in change.touched():
            before = self.find(each)
            if before is not None:
                put.append(before)
        for each in change.put:
            if self.find(each) is None:
                delete.append(each)
        return Change(put=tuple(put), delete=tuple(delete))

    def find(self, like: Object) -> Object | None:
        """The object here of the same type and key as `like`."""
        if isinstance(like, HostPolicy):
            return self.host
        table: Mapping[str, Object] = getattr(self, _TABLES[type(like)])
        return table.get(like.key)

    def desired(self) -> Iterator[Desired]:
        """Every object that the store keeps."""
        for kind in DESIRED:
            yield from getattr(self, _TABLES[kind]).values()

    def state_of(self, workload: str) -> State:
        """`running`, `stopped`, or `pending` (connected in advance, never seen)."""
        if workload in self.instances:
            return "running"
        known = self.workloads.get(workload)
        return "stopped" if known is not None and known.runtime is not None else "pending"

    def addresses_of(self, workload: str) -> tuple[IPv4Address, ...]:
        """All addresses of a workload, that of its first network first, whether it runs or not."""
        found = [each.address for each in self.connections_of.get(workload, ())]
        for port in self.ports_of.get(workload, ()):
            # Compared, not hashed: the hash of an address costs 0.7 us, and this is asked often.
            if port.address is not None and port.address not in found:
                found.append(port.address)
        return tuple(found)

    def __repr__(self) -> str:
        return (
            f"<Snapshot {self.revision} [{len(self.networks)} networks, "
            f"{len(self.workloads)} workloads, {len(self.ports)} ports]>"
        )


_TABLES: Mapping[type[Object], str] = {
    Network: "networks",
    Connection: "connections",
    Reservation: "reservations",
    Lease: "leases",
    Workload: "workloads",
    Rule: "rules",
    Policy: "policies",
    Forward: "forwards",
    Route: "routes",
    Unconfirmed: "unconfirmed",
    FormerSetting: "former_settings",
    Project: "projects",
    TunedSetting: "tuned",
    Vlan: "vlans",
    Instance: "instances",
    Port: "ports",
}


class _Draft:
    """The one place where snapshots are made: copies a table at its first change."""

    def __init__(self, base: Snapshot) -> None:
        self._base = base
        self._tables: dict[str, dict[object, object]] = {}
        self._host = base.host

    def table(self, name: str) -> dict[object, object]:
        copy = self._tables.get(name)
        if copy is None:
            copy = self._tables[name] = dict(getattr(self._base, name))
        return copy

    def peek(self, name: str) -> Mapping[object, object]:
        """A table as it is by now, to read only."""
        table: Mapping[object, object] = self._tables.get(name, getattr(self._base, name))
        return table

    def put(self, each: Object) -> None:
        if isinstance(each, HostPolicy):
            self._host = each
            return
        table = self.table(_TABLES[type(each)])
        before = table.get(each.key)
        if before is not None:
            self._unindex(before)
        table[each.key] = each
        self._index(each)

    def delete(self, each: Object) -> None:
        if isinstance(each, HostPolicy):
            self._host = HostPolicy()
            return
        before = self.table(_TABLES[type(each)]).pop(each.key, None)
        if before is not None:
            self._unindex(before)

    def finish(self) -> Snapshot:
        return replace(
            self._base, revision=self._base.revision + 1, host=self._host, **self._tables
        )

    def _index(self, each: object) -> None:
        if isinstance(each, Connection | Reservation):
            self.table("owners")[each.address] = each
        if isinstance(each, Connection):
            group = self._group("connections_of", each.workload)
            ordered = sorted((*group, each), key=lambda one: one.slot)
            self.table("connections_of")[each.workload] = tuple(ordered)
        elif isinstance(each, Port):
            self.table("ports_of")[each.workload] = (*self._group("ports_of", each.workload), each)
        if (
            isinstance(each, Port | Lease)
            and each.address is not None
            and each.address not in self.peek("owners")
        ):
            self.table("owners")[each.address] = each

    def _unindex(self, each: object) -> None:
        if (
            isinstance(each, Connection | Reservation | Lease | Port)
            and each.address is not None
            and self.peek("owners").get(each.address) is each
        ):
            owners = self.table("owners")
            del owners[each.address]
            for table in ("ports", "leases"):
                other = self.peek(table).get(each.key)
                if (
                    isinstance(other, Port | Lease)
                    and other is not each
                    and other.address == each.address
                ):
                    owners[each.address] = other
        if isinstance(each, Connection):
            self._regroup("connections_of", each.workload, each.key)
        elif isinstance(each, Port):
            self._regroup("ports_of", each.workload, each.key)

    def _group(self, index: str, workload: str) -> tuple[Any, ...]:
        group = self.peek(index).get(workload, ())
        assert isinstance(group, tuple)
        return group

    def _regroup(self, index: str, workload: str, key: str) -> None:
        rest = tuple(each for each in self._group(index, workload) if each.key != key)
        if rest:
            self.table(index)[workload] = rest
        else:
            self.table(index).pop(workload, None)
