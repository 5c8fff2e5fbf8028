"""From what a user named as a backend to addresses: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from ..model.route import Backend, Route
from ..model.snapshot import Snapshot
from .targets import Address

Kind = Literal["workload", "address", "outside"]
# Addresses of hosts outside volt, by name.
Outside = Mapping[str, Sequence[str]]

_address = re.compile(r"[0-9.]+").fullmatch


class Resolved(Struct, frozen=True):
    """Where a backend is at the moment; `reason` says why it is nowhere."""

    backend: Backend
    addresses: tuple[Address, ...] = ()
    reason: str | None = None


def kind_of(backend: Backend) -> Kind:
    """Names without a dot are workloads."""
    if _address(backend.host):
        return "address"
    return "outside" if "." in backend.host else "workload"


def resolve(
    route: Route, snapshot: Snapshot, outside: Outside, *, observes: bool = True
) -> tuple[Resolved, ...]:
    """The backends of `route`, in order.

    `observes` False: nobody watches what runs, so a workload is taken to be where it is connected.
    """
    return tuple(_resolve(each, snapshot, outside, observes) for each in route.backends)


def workloads_of(route: Route) -> set[str]:
    """The workloads whose coming and going concerns `route`."""
    return {each.host for each in route.backends if kind_of(each) == "workload"}


def hosts_of(route: Route) -> set[str]:
    """The outside host names of `route`."""
    return {each.host for each in route.backends if kind_of(each) == "outside"}


def _resolve(backend: Backend, snapshot: Snapshot, outside: Outside, observes: bool) -> Resolved:
    kind = kind_of(backend)
    if kind == "address":
        return Resolved(backend, ((backend.host, backend.port),))
    if kind == "outside":
        found = tuple((each, backend.port) for each in outside.get(backend.host, ()))
        return Resolved(backend, found, None if found else "its name has no address")
    if not observes:
        return _resolve_connected(backend, snapshot)
    return _resolve_workload(backend, snapshot)


def _resolve_connected(backend: Backend, snapshot: Snapshot) -> Resolved:
    places = snapshot.connections_of.get(backend.host, ())
    if not places:
        return Resolved(backend, reason="no network is known to have it")
    return Resolved(backend, ((str(places[0].address), backend.port),))


def _resolve_workload(backend: Backend, snapshot: Snapshot) -> Resolved:
    """A workload is reached on its first network, as by a port forward."""
    name = backend.host
    if name not in snapshot.instances:
        known = name in snapshot.workloads
        return Resolved(backend, reason="it does not run" if known else "no such workload yet")
    ports = snapshot.ports_of.get(name, ())
    first = {
        each.network: number for number, each in enumerate(snapshot.connections_of.get(name, ()))
    }
    for port in sorted(ports, key=lambda each: first.get(each.network, len(first))):
        if port.address is not None and port.up:
            return Resolved(backend, ((str(port.address), backend.port),))
    return Resolved(backend, reason="it is on no network")
