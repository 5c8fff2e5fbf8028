"""What the agent works with where a key has a value of several parts."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from ..model.host import HostPort

Address = IPv4Address | IPv6Address

DNS_PORT = 53


class Upstream(Struct, frozen=True):
    """A DNS server to forward to."""

    address: Address
    port: int = DNS_PORT

    def __str__(self) -> str:
        return _joined(str(self.address), self.port)


class Listen(Struct, frozen=True):
    """Where to listen: `host` is an address or "localhost"."""

    host: str
    port: int

    def __str__(self) -> str:
        return _joined(self.host, self.port)


class HostAllow(Struct, frozen=True):
    """What is open on the host although `host_inbound` is deny.

    `ssh` stands for the ports that sshd listens on, which only the running host can tell.
    """

    ssh: bool = False
    ping: bool = False
    ports: tuple[HostPort, ...] = ()
    interfaces: tuple[str, ...] = ()

    @classmethod
    def of(cls, items: Iterable[object]) -> HostAllow:
        """From what `allowed` returned for each item."""
        items = tuple(items)
        interfaces = (each for each in items if isinstance(each, str) and each.startswith("iface:"))
        return cls(
            ssh="ssh" in items,
            ping="ping" in items,
            ports=tuple(each for each in items if isinstance(each, HostPort)),
            interfaces=tuple(each.removeprefix("iface:") for each in interfaces),
        )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
