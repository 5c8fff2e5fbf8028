"""What the configuration says about DNS."""

from __future__ import annotations

from msgspec import Struct

ZONE = "volt.local"


class DnsSettings(Struct, frozen=True):
    """`upstreams` are (IP address, port); `search_domains` without a trailing dot.

    `zone` is ours whatever the search domains are. `forward_isolated` lets workloads ask for
    outside names that have no network with a way out (a channel to the outside, so off by default).
    `give_up_after` is how many seconds an asker waits for an upstream server: below the 1.8 s of
    RFC 8767, section 5, and well below the 5 s after which glibc and musl ask again.
    """

    upstreams: tuple[tuple[str, int], ...] = ()
    search_domains: tuple[str, ...] = (ZONE,)
    zone: str = ZONE
    port: int = 53
    forward_isolated: bool = False
    give_up_after: float = 1.3
