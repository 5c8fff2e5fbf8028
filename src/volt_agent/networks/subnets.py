"""Which subnets a network may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError

from ..errors import Invalid, Refused
from ..kernel.state import Route
from ..model.network import Network

# /30 is the smallest subnet that holds a gateway and a workload.
LONGEST_PREFIX = 30
SHORTEST_PREFIX = 8
# RFC 1918, in the order in which free subnets are looked for.
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# RFC 6890: this host, loopback, link-local, multicast, reserved.
_UNUSABLE = tuple(
    map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"))
)


def parse_subnet(text: str) -> IPv4Network:
    """Read a subnet as a user writes it; raises Invalid with what to write instead."""
    try:
        subnet = IPv4Network(text)
    except (AddressValueError, NetmaskValueError):
        raise _not_a_subnet(text) from None
    except ValueError:  # host bits set
        raise Invalid(
            f"subnet {text} is an address inside a subnet",
            f"use the subnet's own address: {IPv4Network(text, strict=False)}",
        ) from None
    if "/" not in text:
        raise Invalid(f"subnet {text!r} has no prefix length", f"write for example {text}/24")
    if not SHORTEST_PREFIX <= subnet.prefixlen <= LONGEST_PREFIX:
        raise Invalid(
            f"subnet {text}: the prefix length must be between /{SHORTEST_PREFIX} and "
            f"/{LONGEST_PREFIX}",
            "a /24 has room for 253 workloads",
        )
    for unusable in _UNUSABLE:
        if subnet.overlaps(unusable):
            raise Invalid(
                f"subnet {text} lies in {unusable}, which hosts cannot use (RFC 6890)",
                "choose a private one (RFC 1918), for example 10.30.0.0/24",
            )
    return subnet


def _not_a_subnet(text: str) -> Invalid:
    try:
        IPv6Network(text, strict=False)
    except ValueError:
        return Invalid(f"subnet {text[:60]!r} is not an IPv4 subnet", "write it as 10.30.0.0/24")
    return Invalid(f"subnet {text} is IPv6; networks are IPv4 for now", "write it as 10.30.0.0/24")


def check_free(
    subnet: IPv4Network, networks: Iterable[Network], host_routes: Iterable[Route]
) -> None:
    """Raise Refused, with the clash named, unless `subnet` overlaps nothing."""
    networks = tuple(networks)
    clash = find_clash(subnet, networks, host_routes)
    if clash is not None:
        raise Refused(
            f"subnet {subnet} overlaps {clash}", "choose another one, or none for the next free"
        )


def find_clash(
    subnet: IPv4Network, networks: Iterable[Network], host_routes: Iterable[Route]
) -> str | None:
    """What `subnet` overlaps, in words; None if it is free. A default route is no clash."""
    bridges = set()
    for network in networks:
        bridges.add(network.bridge)
        if subnet.overlaps(network.subnet):
            return f"network {network.name} ({network.subnet})"
    for route in host_routes:
        counts = route.destination.prefixlen and route.link not in bridges
        if counts and subnet.overlaps(route.destination):
            return f"the host's route {route.destination} on {route.link}"
    return None


def next_free(
    after: IPv4Network, networks: Iterable[Network], host_routes: Iterable[Route]
) -> IPv4Network:
    """The next free /24 behind `after`, in its private range first; raises Refused if none is."""
    taken = [network.subnet for network in networks]
    taken += [route.destination for route in host_routes if route.destination.prefixlen]
    for candidate in _candidates(after):
        if not any(candidate.overlaps(each) for each in taken):
            return candidate
    raise Refused("no free /24 is left in the private ranges", "name one with --subnet")


def _candidates(after: IPv4Network) -> Iterator[IPv4Network]:
    start = int(after.broadcast_address) + 1
    for private in sorted(_PRIVATE, key=lambda one: not one.supernet_of(after)):
        first, end = int(private.network_address), int(private.broadcast_address) + 1
        begin = max(first, -(-start // 256) * 256) if private.supernet_of(after) else first
        for number in (*range(begin, end, 256), *range(first, begin, 256)):
            yield IPv4Network((number, 24))
