"""What a workload's start, stop and end change: plain functions from a snapshot to a Change."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from ..errors import Refused, VoltError
from ..model.lookup import find
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
    return Change(delete=(known, *snapshot.connections_of.get(name, ()), *kept))


def remember(
    snapshot: Snapshot,
    instance: Instance,
    auto_connect: Collection[str],
    default_network: str,
) -> Change:
    """What the store has to know after a start: the name, its kind, and an automatic connection.

    An automatic connection that cannot be made (the default network is full or absent) is left out:
    the workload runs all the same, and `volt ps` shows it without a network.
    """
    known = snapshot.workloads.get(instance.name)
    seen = Workload(name=instance.name, kind=instance.kind, runtime=instance.runtime)
    if known is not None:
        seen = replace(known, runtime=instance.runtime, kind=instance.kind)
    put: tuple[Object, ...] = () if known == seen else (seen,)
    change = Change(put=put)
    if instance.runtime not in auto_connect or default_network not in snapshot.networks:
        return change
    if seen.detached or snapshot.connections_of.get(instance.name):
        return change
    try:
        joined = connect(snapshot.apply(change), default_network, instance.name, automatic=True)
    except VoltError:
        return change
    return Change(put=(*put, *joined.put), delete=joined.delete)
