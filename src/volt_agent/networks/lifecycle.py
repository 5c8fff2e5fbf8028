"""What a workload's start, stop and end change: plain functions from a snapshot to a Change."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from ..errors import Refused, VoltError
from ..model.lookup import find
from ..model.network import Connection
from ..model.snapshot import Change, Object, Snapshot
from ..model.workload import Instance, Runtime, Workload
from .decide import connect

# Who is believed where two sources report one name: a namespace can be entered and furnished, a
# tap was asked for by name, a foreign port is only what somebody plugged in.
_BELIEVED: dict[Runtime, int] = {"machined": 2, "netns": 2, "tap": 1, "port": 0}


def started(snapshot: Snapshot, instance: Instance) -> Change:
    """An instance runs. A new life under a taken name takes the place of the old one.

    A less trusted source does not take a running workload's name.
    """
    present = snapshot.instances.get(instance.name)
    if present == instance:
        return Change()
    if present is not None and _BELIEVED[present.runtime] > _BELIEVED[instance.runtime]:
        return Change()
    return Change(put=(instance,))


def stopped(snapshot: Snapshot, instance: Instance) -> Change:
    """An instance ended: it and its ports go, at once. One that was replaced meanwhile stays."""
    present = snapshot.instances.get(instance.name)
    if present is None or present.identity != instance.identity:
        return Change()
    return Change(delete=(present, *snapshot.ports_of.get(instance.name, ())))


def forget(snapshot: Snapshot, name: str) -> Change:
    """Without a workload that will not come back: its name, its connections, its addresses."""
    if name in snapshot.instances:
        raise Refused(
            f"{name} is running", "stop it first; volt net disconnect leaves its networks"
        )
    known = find("workload", name, snapshot.workloads)
    kept = [each for each in snapshot.reservations.values() if each.workload == name]
    leased = [each for each in snapshot.leases.values() if name in (each.workload, each.behind)]
    return Change(delete=(known, *snapshot.connections_of.get(name, ()), *kept, *leased))


def remember(
    snapshot: Snapshot,
    instance: Instance,
    auto_connect: Collection[str],
    default_network: str,
    stopped: Collection[str] = (),
) -> Change:
    """What the store has to know after a start: the name, its kind, and an automatic connection.

    Where the default network is full, the automatic connection of a workload that does not run
    gives way; `stopped` are those that ended lately, in that order, and the last to give way. If
    there is none, the workload runs all the same, and `volt ps` shows it without a network.
    """
    known = snapshot.workloads.get(instance.name)
    seen = Workload(name=instance.name, kind=instance.kind, runtime=instance.runtime)
    if known is not None:
        seen = replace(known, runtime=instance.runtime, kind=instance.kind)
    put: tuple[Object, ...] = () if known == seen else (seen,)
    change = Change(put=put)
    if not lacks_network(snapshot, instance, auto_connect) or (
        default_network not in snapshot.networks
    ):
        return change
    joined = _join(snapshot.apply(change), default_network, instance.name, stopped)
    return Change(put=(*put, *joined.put), delete=joined.delete)


def lacks_network(snapshot: Snapshot, instance: Instance, auto_connect: Collection[str]) -> bool:
    """Whether `instance` is on no network, and would be on the default one by itself."""
    known = snapshot.workloads.get(instance.name)
    if instance.runtime not in auto_connect or (known is not None and known.detached):
        return False
    if instance.namespace is None or instance.bridged:
        return False  # it is a virtual machine, shares the host's network or has one already
    return not snapshot.connections_of.get(instance.name)


def _join(snapshot: Snapshot, network: str, workload: str, stopped: Collection[str]) -> Change:
    """An automatic connection, in the place of another one if need be; nothing if there is none."""
    try:
        return connect(snapshot, network, workload, automatic=True)
    except VoltError:
        idle = _longest_idle(snapshot, network, stopped)
    if idle is None:
        return Change()
    without = Change(delete=(idle,))
    try:
        joined = connect(snapshot.apply(without), network, workload, automatic=True)
    except VoltError:
        return Change()
    return Change(put=joined.put, delete=(idle, *joined.delete))


def _longest_idle(snapshot: Snapshot, network: str, stopped: Collection[str]) -> Connection | None:
    """The automatic connection on `network` whose workload has not run for the longest time."""
    order = {name: at for at, name in enumerate(stopped)}
    idle = (
        each
        for each in snapshot.connections.values()
        if each.network == network and each.automatic and each.workload not in snapshot.instances
    )
    return min(idle, key=lambda each: order.get(each.workload, -1), default=None)
