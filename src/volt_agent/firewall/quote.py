"""Names, addresses and protocols as nft takes them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from socket import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, inet_ntoa

from ..errors import Invalid

# What nft takes literally between double quotes. The kernel allows more in an interface name
# (dev_valid_name() in net/core/dev.c): of that, `"` ends the string, a final `*` makes it a
# wildcard, a backslash may escape what follows, and other than ASCII is not worth a risk.
QUOTABLE = re.compile(r"[!#-)+-.0-9;-\[\]-~]{1,15}")

# nft would look protocol names up in /etc/protocols, which a small host does not have.
PROTOCOL_NUMBERS = {"tcp": int(IPPROTO_TCP), "udp": int(IPPROTO_UDP), "icmp": int(IPPROTO_ICMP)}


def is_quotable(interface: str) -> bool:
    """Whether a rule can name this interface."""
    return QUOTABLE.fullmatch(interface) is not None


def quoted(interface: str) -> str:
    """An interface name as nft takes it. Raises Invalid for one that it would misread."""
    if not is_quotable(interface):
        raise Invalid(
            f"interface name {interface!r} cannot be used in firewall rules",
            "use letters, digits and . _ - only, 15 at most",
        )
    return f'"{interface}"'


def dotted(address: IPv4Address) -> str:
    """What `str` says, in a quarter of the time."""
    return inet_ntoa(address.packed)
