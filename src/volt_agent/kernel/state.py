"""What can be seen of the kernel: links and their addresses, as the netlink messages tell."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from msgspec import Struct


class Link(Struct, frozen=True):
    """A network interface, from RTM_NEWLINK (linux/if_link.h).

    `master` is the ifindex of its bridge, 0 for none; `up` is IFF_UP, `carrier` IFF_LOWER_UP;
    `running` adds IFF_RUNNING: the kernel has noticed the carrier, which takes it a moment, and
    only then a bridge hands frames on to its port (br_port_carrier_check() in net/bridge/br_if.c);
    `kind` is IFLA_INFO_KIND ("bridge", "veth", "tun", "" where there is none); `nsid` is the
    namespace id of a veth's other end (IFLA_LINK_NETNSID), -1 where unknown. `netfilter` tells
    for a bridge whether nf_call_iptables and nf_call_ip6tables are both on, `localnet` whether it
    routes 127.0.0.0/8 (route_localnet; a change by sysctl is not announced). `hairpin` tells for
    the port of a bridge whether a frame may leave by it that came in by it. `lower` is for a VLAN
    the ifindex of the link that carries it, and `vlan` its id; 0 for all others.
    """

    index: int
    name: str
    kind: str = ""
    up: bool = False
    carrier: bool = False
    running: bool = False
    mtu: int = 1500
    mac: str = ""
    master: int = 0
    alias: str = ""
    altnames: tuple[str, ...] = ()
    nsid: int = -1
    netfilter: bool = False
    localnet: bool = False
    hairpin: bool = False
    lower: int = 0
    vlan: int = 0


class Route(Struct, frozen=True):
    """An IPv4 route of the main table. `gateway` is None for an on-link one."""

    destination: IPv4Network
    gateway: IPv4Address | None
    link: str


class Inside(Struct, frozen=True):
    """A namespace at one moment: its links by name, their addresses, its routes."""

    links: Mapping[str, Link]
    addresses: Mapping[str, frozenset[IPv4Interface]]
    routes: tuple[Route, ...]


class Mirror:
    """The host namespace as netlink last told it. Read it freely; only `watch` writes it."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.by_index: dict[int, Link] = {}
        self.addresses: dict[int, frozenset[IPv4Interface]] = {}
        self.ports: dict[int, set[str]] = {}  # ifindex of a bridge -> names of its ports
        self.aliases: dict[str, set[str]] = {}  # alias -> names of the links that bear it

    def addresses_of(self, name: str) -> frozenset[IPv4Interface]:
        link = self.links.get(name)
        return self.addresses.get(link.index, frozenset()) if link else frozenset()

    def ports_of(self, bridge: str) -> frozenset[str]:
        link = self.links.get(bridge)
        return frozenset(self.ports.get(link.index, ())) if link else frozenset()

    def with_alias(self, alias: str) -> list[str]:
        """Names of the links that bear `alias`."""
        return sorted(self.aliases.get(alias, ()))

    def put_link(self, link: Link) -> None:
        """Take in a link: new, changed or renamed."""
        before = self.by_index.get(link.index)
        if before is not None:
            self._forget(before)
        self.by_index[link.index] = link
        self.links[link.name] = link
        if link.master:
            self.ports.setdefault(link.master, set()).add(link.name)
        if link.alias:
            self.aliases.setdefault(link.alias, set()).add(link.name)

    def drop_link(self, index: int) -> Link | None:
        """Take out a link; returns it if it was known."""
        link = self.by_index.pop(index, None)
        if link is not None:
            self._forget(link)
        self.addresses.pop(index, None)
        self.ports.pop(index, None)
        return link

    def _forget(self, link: Link) -> None:
        if self.links.get(link.name) is link:
            del self.links[link.name]
        group = self.ports.get(link.master)
        if group is not None:
            group.discard(link.name)
        bearers = self.aliases.get(link.alias)
        if bearers is not None:
            bearers.discard(link.name)
            if not bearers:
                del self.aliases[link.alias]
