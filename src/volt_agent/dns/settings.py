"""What the configuration says about DNS."""

from __future__ import annotations

from msgspec import Struct

ZONE = "volt.local"


class DnsSettings(Struct, frozen=True):
    """`upstreams` are (IP address, port); `search_domains` without a trailing dot.

    `zone` is ours whatever the search domains are. `forward_isolated` lets workloads ask for
    outside names that have no network with a way out (a channel to the outside, so off by default).
    `upstream_timeout` is seconds for one attempt; `give_up_after` for all of them together: glibc
    and musl ask again after 5 s, and an error in time lets them go on to their next server.
    """

    upstreams: tuple[tuple[str, int], ...] = ()
    search_domains: tuple[str, ...] = (ZONE,)
    zone: str = ZONE
    port: int = 53
    forward_isolated: bool = False
    upstream_timeout: float = 1.0
    give_up_after: float = 3.0
