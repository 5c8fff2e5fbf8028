"""What DHCP has given."""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct


class Lease(Struct, frozen=True):
    """An address that a workload was given by DHCP. Kept in the store.

    There is one for each (network, workload): whoever changes its MAC gets no second address. A
    port without port security may have further clients behind it: `workload` is then the client's
    MAC with hyphens, and `behind` the workload whose port it is.

    `expires` is wall-clock time in seconds since the epoch, as of the last time it was stored: a
    renewal is not. `ifindex` is the port's: another number is another life of it.
    """

    network: str
    workload: str
    address: IPv4Address
    mac: str
    expires: float
    ifindex: int
    behind: str | None = None

    @property
    def key(self) -> str:
        return f"{self.network}/{self.workload}"
