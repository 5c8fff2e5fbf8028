"""One network namespace of the fake kernel: links, addresses, routes and settings in memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

from msgspec.structs import replace

from .interface_names import check_interface
from .ip_messages import Hop
from .refusals import PORTS_MAX, Explained
from .state import Link

_LOOPBACK = Link(index=1, name="lo", mtu=65536, mac="00:00:00:00:00:00")
# What volt reads and writes; a real kernel has many more.
_SETTINGS = {"net/ipv4/ip_forward": "0", "net/bridge/bridge-nf-call-iptables": "1"}
_SETTINGS_OF_LINK = {
    "net/ipv4/conf/{}/forwarding": "0",
    "net/ipv4/conf/{}/rp_filter": "0",
    "net/ipv4/conf/{}/route_localnet": "0",
    "net/ipv4/conf/{}/send_redirects": "1",
    "net/ipv6/conf/{}/disable_ipv6": "0",
}
_MTU_MIN, _MTU_MAX = 68, 65535


class FakeSpace:
    """A namespace. `changed` collects the ifindexes of links that were touched."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.addresses: dict[int, set[IPv4Interface]] = {}
        self.settings = dict(_SETTINGS)
        self.peers: dict[int, tuple[FakeSpace, int]] = {}
        self.attached: set[int] = set()  # taps that a virtual machine has open
        self.changed: set[int] = set()
        self.neighbours: dict[tuple[int, IPv4Address], str] = {}
        self._gateways: list[Hop] = []
        self._last_index = 0
        for name in ("all", "default"):
            self._add_settings(name)
        self.add(_LOOPBACK)

    # ---- links ------------------------------------------------------------------------------

    def find(self, name: str) -> Link:
        """The link called so. Raises OSError (ENODEV)."""
        for link in self.links.values():
            if link.name == name:
                return link
        raise OSError(errno.ENODEV, "")

    def is_taken(self, name: str) -> bool:
        return any(name == each.name or name in each.altnames for each in self.links.values())

    def add(self, link: Link) -> Link:
        """A new link; its index is given here. Raises OSError like the kernel."""
        check_interface(link.name)
        if self.is_taken(link.name):
            raise OSError(errno.EEXIST, "")
        check_link(link)
        self._last_index += 1
        link = replace(link, index=self._last_index)
        self._add_settings(link.name)
        self.put(link)
        return link

    def put(self, link: Link) -> None:
        """Change a link, and what follows from it. Raises OSError like the kernel."""
        before = self.links.get(link.index)
        check_link(link)
        if link.master and (before is None or before.master != link.master):
            self._check_master(link)
        is_raised = link.up and not (before is not None and before.up)
        if is_raised and link.lower and not self.links[link.lower].up:
            raise OSError(errno.ENETDOWN, "")
        self.links[link.index] = link
        self.changed.add(link.index)
        if not link.up:
            self._gateways = [hop for hop in self._gateways if hop.out != link.index]
            for upper in self.vlans_of(link.index):
                self.put(replace(upper, up=False))
        self.update_carrier(link.index)
        if link.index in self.peers:
            space, index = self.peers[link.index]
            space.update_carrier(index)
        if before is not None and before.master != link.master:
            self.update_carrier(before.master)

    def remove(self, index: int) -> None:
        """Delete a link, the other end of a veth, and what stands on it. Unknown ones are gone."""
        link = self.links.pop(index, None)
        if link is None:
            return
        self.changed.add(index)
        self.addresses.pop(index, None)
        self._gateways = [hop for hop in self._gateways if hop.out != index]
        for key in _SETTINGS_OF_LINK:
            self.settings.pop(key.format(link.name), None)
        for port in self.ports(index):
            self.put(replace(port, master=0))
        for upper in self.vlans_of(index):
            self.remove(upper.index)
        if index in self.peers:
            space, other = self.peers.pop(index)
            space.remove(other)
        self.update_carrier(link.master)

    def ports(self, bridge: int) -> list[Link]:
        return [each for each in self.links.values() if bridge and each.master == bridge]

    def vlans_of(self, index: int) -> list[Link]:
        return [each for each in self.links.values() if index and each.lower == index]

    def carries(self, index: int, vlan: int) -> bool:
        return any(each.vlan == vlan for each in self.vlans_of(index))

    def update_carrier(self, index: int) -> None:
        """Work out anew whether the link has a carrier, and its bridge in turn."""
        link = self.links.get(index)
        if link is None:
            return
        carrier = link.up and self._has_carrier(link)
        if carrier != link.carrier:
            self.links[index] = replace(link, carrier=carrier, running=carrier)
            self.changed.add(index)
        for upper in self.vlans_of(index):
            self.update_carrier(upper.index)
        self.update_carrier(link.master)

    def _has_carrier(self, link: Link) -> bool:
        if link.kind == "veth":
            space, other = self.peers.get(link.index, (self, 0))
            return other in space.links and space.links[other].up
        if link.kind == "vlan":
            lower = self.links.get(link.lower)
            return lower is not None and lower.up and lower.carrier
        if link.kind == "tun":
            return link.index in self.attached
        if link.kind == "bridge":
            return any(port.carrier for port in self.ports(link.index))
        return True

    def _check_master(self, link: Link) -> None:
        master = self.links.get(link.master)
        if master is None or link.name == "lo":
            raise OSError(errno.EINVAL, "")
        if master.kind != "bridge":
            raise OSError(errno.EOPNOTSUPP, "")
        if link.kind == "bridge":
            raise Explained(errno.ELOOP, "a bridge cannot be the port of a bridge")
        if len(self.ports(master.index)) >= PORTS_MAX:
            raise OSError(errno.EXFULL, "")

    # ---- addresses and routes -----------------------------------------------------------------

    def add_address(self, index: int, address: IPv4Interface) -> None:
        self.addresses.setdefault(index, set()).add(address)
        self.changed.add(index)

    def remove_address(self, index: int, address: IPv4Interface) -> None:
        self.addresses.get(index, set()).discard(address)
        self.changed.add(index)

    def add_route(self, hop: Hop) -> None:
        """Raises OSError: ENETUNREACH, or EEXIST if another one leads there."""
        present = [each for each in self.routes() if each.destination == hop.destination]
        if hop in present:
            return
        if not self._is_neighbour(hop.gateway, hop.out):
            raise OSError(errno.ENETUNREACH, "")
        if present:
            raise OSError(errno.EEXIST, "")
        self._gateways.append(hop)
        self.changed.add(hop.out)

    def remove_route(self, hop: Hop) -> None:
        self._gateways = [each for each in self._gateways if each != hop]
        self.changed.add(hop.out)

    def routes(self) -> Iterator[Hop]:
        """Those through gateways, and those that follow from the addresses of links that are up."""
        yield from self._gateways
        for index, addresses in self.addresses.items():
            for address in addresses:
                if self.links[index].up and address.network.prefixlen < 32:
                    yield Hop(address.network, None, index)

    def _is_neighbour(self, gateway: IPv4Address | None, index: int) -> bool:
        addresses = self.addresses.get(index, set())
        is_up = index in self.links and self.links[index].up
        return is_up and any(gateway in address.network for address in addresses)

    def _add_settings(self, name: str) -> None:
        for key, value in _SETTINGS_OF_LINK.items():
            self.settings[key.format(name)] = value


def check_link(link: Link) -> None:
    """Raises OSError for values that no driver takes."""
    if not _MTU_MIN <= link.mtu <= _MTU_MAX and link.name != "lo":
        raise Explained(errno.EINVAL, f"an MTU is between {_MTU_MIN} and {_MTU_MAX}")
    first = int(link.mac[:2], 16)
    if first & 1 or (link.mac == "00:00:00:00:00:00" and link.name != "lo"):
        raise OSError(errno.EADDRNOTAVAIL, "")
