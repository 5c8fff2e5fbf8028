"""What the ingress lets strangers take, and for how long."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

# Descriptors that the ingress leaves to the rest of the agent: this many, and this share of all.
_KEPT, _KEPT_SHARE = 256, 0.25


class Limits(Struct, frozen=True):
    """Times in seconds, sizes in bytes.

    A request head has to be complete `head` after its first byte; between requests a connection may
    be `idle`. Bodies and answers that somebody is slow to send or to take have to move by
    `progress_bytes` in `progress`. A tunnel may be silent for `tunnel_idle`. `connect` is for a
    backend to accept, `pool_idle` how long a connection to it is kept. `handshake` is for TLS.

    `connections` in all, `per_client` from one address, `pool` idle ones to one endpoint. Of
    `handshakes` under way the oldest has to go when there is one more. What a client sends ahead of
    its turn is read up to `ahead`. `linger`: how long a client that is still sending is listened to
    after its refusal, so that it gets to read it.
    """

    head: float = 10.0
    idle: float = 75.0
    progress: float = 10.0
    progress_bytes: int = 1024
    tunnel_idle: float = 3600.0
    connect: float = 5.0
    handshake: float = 10.0
    pool_idle: float = 30.0
    linger: float = 2.0
    connections: int = 20_000
    per_client: int = 2_000
    handshakes: int = 1_000
    pool: int = 256
    ahead: int = 65_536


def affordable(descriptors: int) -> Limits:
    """The usual limits, with no more connections than a process that may have so many descriptors
    can serve: each may need a second one to a backend. Whatever strangers do at the ingress, there
    are some left for the control socket, for DNS and for the kernel."""
    usual = Limits()
    kept = max(_KEPT, int(descriptors * _KEPT_SHARE))
    connections = max((descriptors - kept) // 2, 16)
    return replace(usual, connections=min(connections, usual.connections))
