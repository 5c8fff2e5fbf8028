"""Names that no server on the Internet can answer rightly: reserved for special use.

Asking upstream about them tells strangers what happens on this host, and loads servers that can
only say no (RFC 6761, section 1). So they are answered here: that they do not exist, but for
`localhost` and the loopback addresses. A zone in which the configuration has a search domain is
somebody's after all: what is below that search domain goes upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from . import wire

Labels = tuple[bytes, ...]

# RFC 6761, section 6.3: every name at or below it is the asker's own host.
LOCALHOST: Labels = (b"localhost",)
# RFC 9462, section 4: servers for encrypted DNS. A server without any says that there is nothing of
# the kind; passed on, the answer would lead askers past us.
RESOLVER_ARPA: Labels = (b"resolver", b"arpa")

# Zones by who reserves them. The blocks of RFC 6303 are written as networks.
_NAMES = {
    "RFC 6761": ("test", "invalid"),
    "RFC 6762": ("local",),
    "RFC 7686": ("onion",),
    "RFC 8375": ("home.arpa",),
    "RFC 9476": ("alt",),
    "RFC 9462": ("resolver.arpa",),
}
_BLOCKS = {
    "RFC 6303": (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24",
        "203.0.113.0/24", "255.255.255.255/32",
        "::/128", "::1/128", "fd00::/8", "fe80::/10", "2001:db8::/32",
    ),
    "RFC 7793": ("100.64.0.0/10",),
}  # fmt: skip


def reverse_zones(block: IPv4Network | IPv6Network) -> Iterator[Labels]:
    """The zones under in-addr.arpa or ip6.arpa that hold just the addresses of `block`."""
    unit = 8 if block.version == 4 else 4  # bits for each label
    depth = -(-block.prefixlen // unit)
    for part in block.subnets(new_prefix=depth * unit):
        labels = part.network_address.reverse_pointer.encode().split(b".")
        yield tuple(labels[len(labels) - 2 - depth :])


def _all_zones() -> Iterator[tuple[Labels, str]]:
    for source, names in _NAMES.items():
        for name in names:
            yield tuple(name.encode().split(b".")), source
    for source, blocks in _BLOCKS.items():
        for block in blocks:
            network = IPv6Network(block) if ":" in block else IPv4Network(block)
            for zone in reverse_zones(network):
                yield zone, source


# Zone -> the document that reserves it.
ZONES = dict(_all_zones())
_DEPTHS = sorted({len(zone) for zone in ZONES})
_TOPS = frozenset(zone[-1] for zone in ZONES)
# The addresses of `localhost` by record type, and the names under which it is found by them.
LOOPBACK = {1: b"\x7f\0\0\1", 28: bytes(15) + b"\1"}
POINTERS = frozenset(
    wire.labels_of(wire.name_from_text(each))
    for each in ("1.0.0.127.in-addr.arpa", "1." + "0." * 31 + "ip6.arpa")
)


def zone_of(labels: Labels) -> Labels | None:
    """The reserved zone that a name is in, if any."""
    if not labels or labels[-1] not in _TOPS:
        return None  # nearly all names
    for depth in _DEPTHS:
        if labels[-depth:] in ZONES:
            return labels[-depth:]
    return None
