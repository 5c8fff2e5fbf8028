"""What can be asked of the kernel: frozen values, carried out in order by an `Edge`.

Every operation on a link may name a `namespace` (a path such as /run/netns/NAME); None is the
agent's own. An operation that finds its work already done succeeds (adding what is there exactly
so, deleting what is gone); one that finds something else in the way raises KernelRefused with the
kernel's errno.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from msgspec import Struct


class Op(Struct, frozen=True, kw_only=True):
    namespace: str | None = None


class AddBridge(Op, frozen=True):
    """A bridge, down, that hands same-bridge IPv4 and IPv6 frames to netfilter, without STP.

    It has a fixed MAC: a bridge without one takes its ports' lowest, and the gateway's address
    would change under the workloads' ARP caches whenever a port comes or goes.
    `altname` carries the full name where the interface name had to be hashed.
    """

    name: str
    mac: str
    mtu: int
    alias: str
    altname: str | None = None


class AddVeth(Op, frozen=True):
    """A veth pair: `name` here, down, a port of `master`; `peer` in `peer_namespace`.

    IPv6 autoconfiguration is switched off on both ends before either comes up: it costs half of the
    set-up time, and volt drops workloads' IPv6 for now.
    """

    name: str
    master: str
    alias: str
    mtu: int
    mac: str
    peer: str
    peer_mac: str
    peer_namespace: str


class AddTap(Op, frozen=True):
    """A persistent tap, down, a port of `master`; it outlives the agent and the virtual machine."""

    name: str
    master: str
    alias: str
    mtu: int
    mac: str


class AddVlan(Op, frozen=True):
    """A device, down, that carries VLAN `id` (IEEE 802.1Q) of the link `parent`."""

    name: str
    parent: str
    id: int
    mtu: int
    alias: str


class SetLink(Op, frozen=True):
    """Change what is not None. `master` "" releases a port from its bridge."""

    name: str
    up: bool | None = None
    mtu: int | None = None
    master: str | None = None
    alias: str | None = None
    mac: str | None = None
    netfilter: bool | None = None  # bridges: hand frames to netfilter
    localnet: bool | None = None  # bridges: route 127.0.0.0/8
    hairpin: bool | None = None  # ports: a frame may leave by the port it came in


class ReleasePort(Op, frozen=True):
    """Take a port off its bridge, by its ifindex: a name that is no text cannot be written here."""

    name: str
    index: int


class DeleteLink(Op, frozen=True):
    name: str


class AddAddress(Op, frozen=True):
    name: str
    address: IPv4Interface


class DeleteAddress(Op, frozen=True):
    name: str
    address: IPv4Interface


class AddRoute(Op, frozen=True):
    """A route through `gateway` on link `name`; 0.0.0.0/0 is the default route."""

    name: str
    destination: IPv4Network
    gateway: IPv4Address


class DeleteRoute(Op, frozen=True):
    name: str
    destination: IPv4Network
    gateway: IPv4Address


class SetNeighbour(Op, frozen=True):
    """Tell the kernel that `address` on link `name` is at `mac`, not yet confirmed (NUD_STALE).

    Whoever asked for the address in vain waits up to a second before the kernel asks again; this
    answers at once, and what waited is sent.
    """

    name: str
    address: IPv4Address
    mac: str


class SetSysctl(Op, frozen=True):
    """Write `value` to the sysctl `key`, with dots or slashes (interface names may hold dots)."""

    key: str
    value: str
