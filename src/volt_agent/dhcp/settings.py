"""What an operator can set."""

from __future__ import annotations

from msgspec import Struct


class DhcpSettings(Struct, frozen=True):
    """`lease_time` is in seconds. `names` says whether the gateways answer DNS: only then are
    clients told to ask them, and to search `search_domains`."""

    lease_time: int = 3600
    names: bool = True
    search_domains: tuple[str, ...] = ()
