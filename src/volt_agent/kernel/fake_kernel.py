"""A kernel in memory that refuses what the real one refuses, with the same errnos."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from . import sysctl
from .fake_space import FakeSpace
from .interface_names import check_interface
from .ip_messages import Hop
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
from .ownership import check_our_vlan, check_ours, leads_elsewhere, peer_taken
from .refusals import Explained, unless
from .state import Link


class FakeKernel:
    """Namespaces by path; None is the agent's own."""

    def __init__(self) -> None:
        self.own = FakeSpace()
        self._spaces: dict[str, FakeSpace] = {}
        self._ids: dict[FakeSpace, int] = {}

    def space(self, path: str | None) -> FakeSpace:
        """Raises Explained (ENOENT) if there is no such namespace."""
        if path is None:
            return self.own
        if path not in self._spaces:
            raise Explained(errno.ENOENT, f"{path} is gone")
        return self._spaces[path]

    def add_namespace(self, path: str) -> FakeSpace:
        space = self._spaces[path] = FakeSpace()
        return space

    def remove_namespace(self, path: str) -> None:
        """All its links go, and with them the other ends of its veths."""
        space = self._spaces.pop(path)
        for index in list(space.links):
            space.remove(index)

    def namespace_ids(self) -> dict[int, FakeSpace]:
        """Namespaces by the id that they have in the agent's own (Link.nsid)."""
        alive = set(self._spaces.values())
        return {nsid: space for space, nsid in self._ids.items() if space in alive}

    def carry_out(self, op: Op) -> None:
        """Raises OSError like the kernel."""
        _ACTIONS[type(op)](self, self.space(op.namespace), op)

    # ---- links ------------------------------------------------------------------------------

    def _add_bridge(self, space: FakeSpace, op: AddBridge) -> None:
        check_interface(op.name)
        link = _claimed(space, op, "bridge")
        altnames = link.altnames if link is not None else ()
        if op.altname is not None and op.altname not in altnames:
            if space.is_taken(op.altname):
                raise OSError(errno.EEXIST, "")
            altnames += (op.altname,)
        if link is None:
            link = space.add(Link(index=0, name=op.name, kind="bridge", mtu=op.mtu, mac=op.mac))
        space.put(
            replace(
                link,
                mtu=op.mtu,
                mac=op.mac,
                alias=op.alias,
                altnames=altnames,
                netfilter=True,
                localnet=True,
            )
        )
        space.settings[f"net/ipv4/conf/{op.name}/rp_filter"] = "1"
        space.settings[f"net/ipv4/conf/{op.name}/route_localnet"] = "1"
        space.settings[f"net/ipv4/conf/{op.name}/send_redirects"] = "0"
        space.settings[f"net/ipv6/conf/{op.name}/disable_ipv6"] = "1"

    def _add_veth(self, space: FakeSpace, op: AddVeth) -> None:
        check_interface(op.name)
        check_interface(op.peer)
        master, there = _index(space, op.master), self.space(op.peer_namespace)
        link = _claimed(space, op, "veth")
        if link is None:
            self._make_veth(space, there, op, master)
            return
        other_space, other = space.peers[link.index]
        if other_space is not there or there.links[other].name != op.peer:
            raise leads_elsewhere(op)
        port = replace(link, mtu=op.mtu, mac=op.mac, alias=op.alias, master=master, hairpin=True)
        space.put(port)
        there.put(replace(there.links[other], mtu=op.mtu, mac=op.peer_mac))

    def _make_veth(self, space: FakeSpace, there: FakeSpace, op: AddVeth, master: int) -> None:
        if there.is_taken(op.peer):
            raise peer_taken(op)
        peer = there.add(Link(index=0, name=op.peer, kind="veth", mtu=op.mtu, mac=op.peer_mac))
        link = None
        try:
            link = space.add(Link(index=0, name=op.name, kind="veth", mtu=op.mtu, mac=op.mac))
            nsid = self._ids.setdefault(there, len(self._ids))
            space.put(replace(link, alias=op.alias, nsid=nsid, master=master, hairpin=True))
        except OSError:
            there.remove(peer.index)
            space.remove(link.index if link else 0)
            raise
        space.peers[link.index], there.peers[peer.index] = (there, peer.index), (space, link.index)

    def _add_tap(self, space: FakeSpace, op: AddTap) -> None:
        check_interface(op.name)
        master = _index(space, op.master)
        link = _claimed(space, op, "tun") or space.add(
            Link(index=0, name=op.name, kind="tun", mtu=op.mtu, mac=op.mac)
        )
        port = replace(link, mtu=op.mtu, mac=op.mac, alias=op.alias, master=master, hairpin=True)
        try:
            space.put(port)
        except OSError:
            if not link.alias:
                space.remove(link.index)
            raise

    def _add_vlan(self, space: FakeSpace, op: AddVlan) -> None:
        check_interface(op.name)
        parent = space.find(op.parent)
        if space.is_taken(op.name):
            link = space.find(op.name)
            check_our_vlan(link, op, parent.index)
        else:
            if space.carries(parent.index, op.id):
                raise OSError(errno.EEXIST, "")
            if op.mtu > parent.mtu:
                raise OSError(errno.ERANGE, "")
            fresh = Link(index=0, name=op.name, kind="vlan", mtu=op.mtu, mac=parent.mac)
            link = space.add(replace(fresh, lower=parent.index, vlan=op.id))
        space.put(replace(link, alias=op.alias))

    def _set_link(self, space: FakeSpace, op: SetLink) -> None:
        check_interface(op.name)
        link = space.find(op.name)
        if op.netfilter is not None and link.kind != "bridge":
            raise OSError(errno.EOPNOTSUPP, "")
        if op.hairpin is not None and not link.master:
            raise OSError(errno.EOPNOTSUPP, "")
        changes: dict[str, Any] = {
            field: value
            for field in ("up", "mtu", "alias", "mac", "netfilter", "localnet", "hairpin")
            if (value := getattr(op, field)) is not None
        }
        if op.master is not None:
            changes["master"] = _index(space, op.master) if op.master else 0
            if changes["master"] != link.master:
                changes["hairpin"] = False
        space.put(replace(link, **changes))

    def _release_port(self, space: FakeSpace, op: ReleasePort) -> None:
        link = space.links.get(op.index)
        if link is not None:
            space.put(replace(link, master=0, hairpin=False))

    def _delete_link(self, space: FakeSpace, op: DeleteLink) -> None:
        check_interface(op.name)
        with unless(errno.ENODEV):
            link = space.find(op.name)
            if link.name == "lo":
                raise OSError(errno.EOPNOTSUPP, "")
            space.remove(link.index)

    # ---- addresses, routes, settings --------------------------------------------------------

    def _add_address(self, space: FakeSpace, op: AddAddress) -> None:
        space.add_address(_index(space, op.name), op.address)

    def _delete_address(self, space: FakeSpace, op: DeleteAddress) -> None:
        with unless(errno.ENODEV):
            space.remove_address(_index(space, op.name), op.address)

    def _add_route(self, space: FakeSpace, op: AddRoute) -> None:
        space.add_route(Hop(op.destination, op.gateway, _index(space, op.name)))

    def _delete_route(self, space: FakeSpace, op: DeleteRoute) -> None:
        with unless(errno.ENODEV):
            space.remove_route(Hop(op.destination, op.gateway, _index(space, op.name)))

    def _set_neighbour(self, space: FakeSpace, op: SetNeighbour) -> None:
        space.neighbours[_index(space, op.name), op.address] = op.mac

    def _set_sysctl(self, space: FakeSpace, op: SetSysctl) -> None:
        key = sysctl.key_path(op.key)
        sysctl.check_value(op.value)
        if key not in space.settings:
            raise Explained(errno.ENOENT, "there is no such setting")
        if not op.value.strip().lstrip("-").isdigit():
            raise OSError(errno.EINVAL, "")
        space.settings[key] = op.value.strip()


def _claimed(space: FakeSpace, op: AddBridge | AddVeth | AddTap, kind: str) -> Link | None:
    if not space.is_taken(op.name):
        return None
    link = space.find(op.name)
    check_ours(link, op, kind)
    return link


def _index(space: FakeSpace, name: str) -> int:
    try:
        return space.find(name).index
    except OSError:
        raise Explained(errno.ENODEV, f"there is no interface {name}") from None


_ACTIONS: dict[type[Op], Callable[[FakeKernel, FakeSpace, Any], None]] = {
    AddBridge: FakeKernel._add_bridge,
    AddVeth: FakeKernel._add_veth,
    AddTap: FakeKernel._add_tap,
    AddVlan: FakeKernel._add_vlan,
    SetLink: FakeKernel._set_link,
    DeleteLink: FakeKernel._delete_link,
    ReleasePort: FakeKernel._release_port,
    AddAddress: FakeKernel._add_address,
    DeleteAddress: FakeKernel._delete_address,
    AddRoute: FakeKernel._add_route,
    DeleteRoute: FakeKernel._delete_route,
    SetNeighbour: FakeKernel._set_neighbour,
    SetSysctl: FakeKernel._set_sysctl,
}
