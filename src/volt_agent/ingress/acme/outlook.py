"""What preflight looks at on this host, and how it is found."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from ipaddress import IPv4Address

from msgspec import Struct

from ...firewall.packet import Packet
from ...firewall.verdict import decide
from ...model.firewall import Forward
from ...model.snapshot import Snapshot
from .preflight import HTTP_PORT, Door, Names

# From anywhere to the host: addresses for documentation (RFC 5737), which no rule should be about.
_ANYWHERE, _HERE = IPv4Address("198.51.100.1"), IPv4Address("192.0.2.1")


class Outlook(Struct, frozen=True):
    """`settled` waits until the last changes of routes have opened their ports; `names` asks public
    DNS about a host; `own` are those of the addresses that this host has; `door` is the one for
    plain HTTP, as it is at those."""

    settled: Callable[[], Awaitable[None]]
    door: Callable[[Iterable[str]], Door]
    names: Callable[[str], Awaitable[Names]]
    own: Callable[[Iterable[str]], frozenset[str]]


def closed_by(snapshot: Snapshot, port: int, own: Iterable[str] = ()) -> str | None:
    """Why nobody outside reaches the ingress at `port` of this host, as far as volt's own rules and
    forwards are concerned; None if somebody does. `own` are addresses of this host."""
    for address in (*_ipv4(own), _HERE):
        verdict = decide(snapshot, _packet(address, HTTP_PORT))
        if isinstance(verdict.decided, Forward) or verdict.by.startswith("forward"):
            return f"port {HTTP_PORT} does not lead to the ingress: {verdict.by}"
        verdict = decide(snapshot, _packet(address, port))
        if not verdict.allowed:
            return f"port {port} is closed for the outside: {verdict.reason}"
    return None


def own_addresses(addresses: Iterable[str]) -> frozenset[str]:
    """Those of `addresses` that this host has: nobody can bind to another's."""
    return frozenset(each for each in addresses if _is_own(each))


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def _ipv4(addresses: Iterable[str]) -> Iterator[IPv4Address]:
    return (IPv4Address(each) for each in addresses if ":" not in each)


def _packet(address: IPv4Address, port: int) -> Packet:
    return Packet("outside", _ANYWHERE, address, "tcp", port, is_local=True)
