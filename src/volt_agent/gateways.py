"""The servers at the gateway of every network: names and leases."""

from __future__ import annotations

import asyncio

from .dhcp.server import DhcpServer
from .dns.server import NameServer
from .errors import VoltError
from .kernel.edge import Edge
from .model.network import Network
from .model.snapshot import Change, Snapshot
from .registry import Registry
from .settings import Settings


class Gateways:
    """Opens both servers where there is a bridge, and closes them with its network.

    `serving` is set once the ports of what runs are known: until then a wrong "no such name" would
    be remembered by those who ask.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        edge: Edge,
        names: NameServer,
        leases: DhcpServer,
    ) -> None:
        self._settings, self._registry, self._edge = settings, registry, edge
        self._names, self._leases = names, leases
        self.serving = asyncio.Event()

    def follow_changes(self) -> None:
        """From now on; the first of them is known already."""
        self._registry.add_follower("dns", _Leaver(self._names))
        self._registry.add_follower(None, _Leaver(self._leases))
        self._names.start(self._registry.snapshot)
        self._leases.start(self._registry.snapshot)

    def open(self, network: Network, ifindex: int) -> None:
        """As far as they are on and the time has come. Raises VoltError."""
        if self.serving.is_set() and self._settings.answers_names:
            self._names.open(network, ifindex)
        if self.serving.is_set() and self._settings.leases_addresses:
            self._leases.open(network, ifindex)

    def open_all(self) -> bool:
        """Whether all could be opened; the reconciler tries the others again, and says why."""
        are_open = True
        for network in self._registry.snapshot.networks.values():
            link = self._edge.mirror.links.get(network.bridge)
            if link is not None:
                try:
                    self.open(network, link.index)
                except VoltError:
                    are_open = False
        return are_open

    def close_names(self) -> None:
        """Nobody is answered any more, on any network."""
        for name in self._registry.snapshot.networks:
            self._names.close_network(name)

    def configure(self) -> None:
        """Have both follow the settings."""
        self._names.configure(self._settings.dns)
        self._leases.configure(self._settings.dhcp)


class _Leaver:
    """A server of all networks as a follower: it also leaves those that are gone."""

    def __init__(self, server: NameServer | DhcpServer) -> None:
        self._server = server

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        self._server.follow(old, new, change)
        for each in change.delete:
            if isinstance(each, Network) and each.name not in new.networks:
                self._server.close_network(each.name)
