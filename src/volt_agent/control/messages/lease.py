"""What DHCP has given."""

from __future__ import annotations

from msgspec import Struct

from ..method import Method, Nothing


class Lease(Struct, frozen=True, kw_only=True):
    """An address that a client has until `expires` (RFC 3339, UTC), unless it renews it.

    `name` is the workload by volt's own records; None for a client behind the port of `behind`.
    """

    ip: str
    mac: str
    name: str | None
    network: str
    expires: str
    behind: str | None = None


LIST = Method("net.lease.list", Nothing, list[Lease], "List the addresses that DHCP has given")

METHODS = (LIST,)
