"""Carries out operations in the calling thread, in order, each in its namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

from . import ip_messages, sysctl
from .interface_names import index_of
from .ip_messages import Hop
from .link_actions import (
    add_bridge,
    add_tap,
    add_veth_pair,
    add_vlan_device,
    calm_peer,
    change_link,
    delete_together,
    let_go,
    remove_link,
)
from .looking import host_routes
from .namespaces import entered
from .netlink_socket import NetlinkSocket
from .ops import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddTap,
    AddVeth,
    AddVlan,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    Op,
    ReleasePort,
    SetLink,
    SetNeighbour,
    SetSysctl,
)
from .refusals import Explained, open_for, refused, unless

# Some of what they change the kernel does not announce.
_SILENT = (AddBridge, AddVeth, AddTap, AddVlan, SetLink)


class Step(NamedTuple):
    """An operation, or the part of it that belongs to one namespace."""

    namespace: str | None
    op: Op
    action: Callable[[NetlinkSocket, Any], None]


def carry_out(ops: Sequence[Op], home: NetlinkSocket) -> None:
    """Carry out `ops`; stop at the first that fails and raise KernelRefused.

    `home` is a socket of the thread's own namespace. Steps that follow each other in one namespace
    share one visit to it.
    """
    steps = [step for op in ops for step in _steps(op)]
    for namespace, visit in groupby(steps, key=lambda step: step.namespace):
        in_turn = list(visit)
        try:
            with _socket_in(namespace, home) as socket:
                _take(in_turn, socket)
        except OSError as error:
            raise refused(in_turn[0].op, error) from error


def unannounced(ops: Sequence[Op], is_done: bool) -> set[str]:
    """The links of the own namespace that `ops` may have changed without a word from the kernel.

    Once all of it is done, a link that was brought up has been announced with everything it has.
    """
    links = set()
    for op in ops:
        if isinstance(op, _SILENT) and op.namespace is None:
            links.add(op.name)
            if is_done and isinstance(op, SetLink) and op.up:
                links.discard(op.name)
    return links


def _steps(op: Op) -> Iterator[Step]:
    yield Step(op.namespace, op, _ACTIONS[type(op)])
    if isinstance(op, AddVeth):
        yield Step(op.peer_namespace, op, calm_peer)


@contextmanager
def _socket_in(namespace: str | None, home: NetlinkSocket) -> Iterator[NetlinkSocket]:
    if namespace is None:
        yield home
        return
    handle = open_for(namespace)
    try:
        with entered(handle), NetlinkSocket() as socket:
            yield socket
    finally:
        os.close(handle)


def _take(steps: list[Step], socket: NetlinkSocket) -> None:
    for kind, run in groupby(steps, key=lambda step: type(step.op)):
        same = list(run)
        if kind is DeleteLink and len(same) > 1:
            delete_together(
                socket, [step.op.name for step in same if isinstance(step.op, DeleteLink)]
            )
        for step in same:
            try:
                step.action(socket, step.op)
            except OSError as error:
                raise refused(step.op, error) from error


def _add_address(socket: NetlinkSocket, op: AddAddress) -> None:
    with unless(errno.EEXIST):
        socket.request(ip_messages.add_address(index_of(op.name), op.address))


def _delete_address(socket: NetlinkSocket, op: DeleteAddress) -> None:
    with unless(errno.EADDRNOTAVAIL, errno.ENODEV):
        socket.request(ip_messages.delete_address(index_of(op.name), op.address))


def _add_route(socket: NetlinkSocket, op: AddRoute) -> None:
    wanted = Hop(op.destination, op.gateway, index_of(op.name))
    try:
        socket.request(ip_messages.add_route(wanted))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        present = [hop for hop in host_routes() if hop.destination == op.destination]
        if wanted not in present:
            ways = ", ".join(str(hop.gateway or "on link") for hop in present) or "another table"
            raise Explained(errno.EEXIST, f"there is one already ({ways})") from None


def _delete_route(socket: NetlinkSocket, op: DeleteRoute) -> None:
    with unless(errno.ESRCH, errno.ENODEV):
        hop = Hop(op.destination, op.gateway, index_of(op.name))
        socket.request(ip_messages.delete_route(hop))


def _set_neighbour(socket: NetlinkSocket, op: SetNeighbour) -> None:
    socket.request(ip_messages.set_neighbour(index_of(op.name), op.address, op.mac))


def _set_sysctl(_socket: NetlinkSocket, op: SetSysctl) -> None:
    sysctl.write(op.key, op.value)


_ACTIONS: dict[type[Op], Callable[[NetlinkSocket, Any], None]] = {
    AddBridge: add_bridge,
    AddVeth: add_veth_pair,
    AddTap: add_tap,
    AddVlan: add_vlan_device,
    SetLink: change_link,
    DeleteLink: remove_link,
    ReleasePort: let_go,
    AddAddress: _add_address,
    DeleteAddress: _delete_address,
    AddRoute: _add_route,
    DeleteRoute: _delete_route,
    SetNeighbour: _set_neighbour,
    SetSysctl: _set_sysctl,
}
