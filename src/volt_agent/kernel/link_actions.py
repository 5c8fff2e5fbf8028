"""How operations on links are carried out, and which refusals mean that it is done already."""

from __future__ import annotations

import errno
import logging
import os
import secrets

from . import bridges, sysctl
from .interface_names import check_interface, index_of
from .link_messages import (
    CALM,
    GATEWAY,
    add_veth,
    add_vlan,
    decode_link,
    delete_group,
    delete_link,
    get_link,
    peer_index,
    release_port,
    route_localnet,
    set_link,
    set_port,
)
from .namespaces import entered
from .netlink_socket import NetlinkSocket
from .ops import AddBridge, AddTap, AddVeth, AddVlan, DeleteLink, ReleasePort, SetLink
from .ownership import check_our_vlan, check_ours, leads_elsewhere, peer_taken
from .refusals import no_vlans, open_for, unless
from .state import Link
from .tap import new_tap

log = logging.getLogger(__name__)


def add_bridge(socket: NetlinkSocket, op: AddBridge) -> None:
    """AddBridge."""
    check_interface(op.name)
    is_new = True
    try:
        socket.request(bridges.add_bridge(op))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        _claim(socket, op, "bridge")
        is_new = False
    try:
        _set_up_bridge(socket, op)
    except OSError:
        if is_new:
            socket.request(delete_link(op.name))
        raise


def _set_up_bridge(socket: NetlinkSocket, op: AddBridge) -> None:
    socket.request(set_link(op.name, mtu=op.mtu, mac=op.mac, alias=op.alias, families=GATEWAY))
    _calm(socket, op.name)
    _disable_ipv6(op.name)
    _call_netfilter(socket, op.name)
    if op.altname is not None:
        _add_altname(socket, op.name, op.altname)


def _calm(socket: NetlinkSocket, name: str) -> None:
    # There is no IPv6 to calm on links with an MTU under 1280 (RFC 8200, section 5), and none at
    # all on a kernel booted with ipv6.disable=1.
    with unless(errno.EAFNOSUPPORT):
        socket.request(set_link(name, families=CALM))


def _disable_ipv6(bridge: str) -> None:
    """Workloads must not reach the host's services by a link-local address of the bridge."""
    try:
        if sysctl.read(f"net/ipv6/conf/{bridge}/disable_ipv6") == "0":
            sysctl.write(f"net/ipv6/conf/{bridge}/disable_ipv6", "1")
    except OSError as error:
        # It has no IPv6 address all the same (`_calm`).
        log.warning("IPv6 cannot be disabled on %s: %s", bridge, error.strerror)


def _call_netfilter(socket: NetlinkSocket, bridge: str) -> None:
    try:
        socket.request(bridges.call_netfilter(bridge, True))
    except OSError as error:
        log.warning("frames on %s do not pass netfilter: %s", bridge, error.strerror)


def _add_altname(socket: NetlinkSocket, name: str, altname: str) -> None:
    try:
        socket.request(bridges.add_altname(name, altname))
    except OSError as error:
        if error.errno != errno.EEXIST or altname not in _link(socket, name).altnames:
            raise


# ---- ports --------------------------------------------------------------------------------------


def add_veth_pair(socket: NetlinkSocket, op: AddVeth) -> None:
    """AddVeth, the part in its own namespace."""
    check_interface(op.name)
    check_interface(op.peer)
    master = index_of(op.master)
    namespace = open_for(op.peer_namespace)
    try:
        socket.request(add_veth(op, master, namespace))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        _claim_veth(socket, op, namespace)
        socket.request(set_link(op.name, mtu=op.mtu, mac=op.mac, master=master))
    finally:
        os.close(namespace)
    socket.request(set_port(op.name, op.alias))
    _calm(socket, op.name)


def calm_peer(socket: NetlinkSocket, op: AddVeth) -> None:
    """AddVeth, the part in the namespace of its peer."""
    _calm(socket, op.peer)


def _claim_veth(socket: NetlinkSocket, op: AddVeth, namespace: int) -> None:
    try:
        link = _claim(socket, op, "veth")
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        # One of two names was taken, and it is not that of our end.
        raise peer_taken(op) from None
    theirs = peer_index(socket.get(get_link(op.name)).body)
    with entered(namespace), NetlinkSocket() as inside, unless(errno.ENODEV):
        answer = inside.get(get_link(op.peer))
        if (_decode(answer.body).index, peer_index(answer.body)) == (theirs, link.index):
            inside.request(set_link(op.peer, mtu=op.mtu, mac=op.peer_mac))
            return
    raise leads_elsewhere(op)


def add_tap(socket: NetlinkSocket, op: AddTap) -> None:
    """AddTap."""
    check_interface(op.name)
    master = index_of(op.master)
    settings = set_link(op.name, alias=op.alias, mtu=op.mtu, master=master, mac=op.mac)
    try:
        _claim(socket, op, "tun")
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        with new_tap(op.name):
            socket.request(settings)
    else:
        socket.request(settings)
    socket.request(set_port(op.name, op.alias))
    _calm(socket, op.name)


def add_vlan_device(socket: NetlinkSocket, op: AddVlan) -> None:
    """AddVlan. The kernel loads its module 8021q by itself where there is one."""
    check_interface(op.name)
    parent = index_of(op.parent)
    try:
        socket.request(add_vlan(op, parent))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise no_vlans(op, error) from error
        if error.errno != errno.EEXIST:
            raise
        check_our_vlan(_link(socket, op.name), op, parent)
    socket.request(set_link(op.name, alias=op.alias))
    _calm(socket, op.name)


def _claim(socket: NetlinkSocket, op: AddBridge | AddVeth | AddTap, kind: str) -> Link:
    """The link `op.name`. Raises Explained (EEXIST) if it is not ours, OSError (ENODEV) if there is
    none."""
    link = _link(socket, op.name)
    check_ours(link, op, kind)
    return link


def _link(socket: NetlinkSocket, name: str) -> Link:
    return _decode(socket.get(get_link(name)).body)


def _decode(body: bytes) -> Link:
    link = decode_link(body)
    if link is None:
        raise OSError(errno.EPROTO, "the kernel described no link")
    return link


# ---- any link -----------------------------------------------------------------------------------


def change_link(socket: NetlinkSocket, op: SetLink) -> None:
    """SetLink."""
    check_interface(op.name)
    master = None
    if op.master is not None:
        master = index_of(op.master) if op.master else 0
    if any(each is not None for each in (op.up, op.mtu, master, op.alias, op.mac)):
        socket.request(
            set_link(op.name, up=op.up, mtu=op.mtu, master=master, alias=op.alias, mac=op.mac)
        )
    if op.netfilter is not None:
        socket.request(bridges.call_netfilter(op.name, op.netfilter))
    if op.localnet is not None:
        socket.request(route_localnet(op.name, op.localnet))
    if op.hairpin is not None:
        socket.request(set_port(op.name, hairpin=op.hairpin))


def let_go(socket: NetlinkSocket, op: ReleasePort) -> None:
    """ReleasePort."""
    with unless(errno.ENODEV):
        socket.request(release_port(op.index))


def remove_link(socket: NetlinkSocket, op: DeleteLink) -> None:
    """DeleteLink."""
    check_interface(op.name)
    with unless(errno.ENODEV):
        socket.request(delete_link(op.name))


def delete_together(socket: NetlinkSocket, names: list[str]) -> None:
    """Delete links at once as far as possible; those that remain are to be deleted one by one.

    The kernel waits for two grace periods per deletion (16 to 20 ms), or once for a whole group:
    40 links took 41 ms together and 650 ms in turn. The group number is drawn from 2^30, so that no
    link of anybody else's bears it.
    """
    group = secrets.randbits(30) | 1 << 30
    for name in names:
        with unless(errno.ENODEV, errno.ERANGE):
            socket.request(set_link(name, group=group))
    try:
        socket.request(delete_group(group))
    except OSError as error:
        log.debug("%d links cannot be deleted together: %s", len(names), error.strerror)
