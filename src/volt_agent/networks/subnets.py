"""Which subnets a network may have."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError

from ..errors import Invalid, Refused
from ..kernel.state import Route
from ..model.network import Network

# /30 is the smallest subnet that holds a gateway and a workload.
LONGEST_PREFIX = 30
SHORTEST_PREFIX = 8
_SIZE = 256  # addresses of a /24, which is what volt chooses by itself
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
    busy = _Busy(taken)
    for number in _candidates(after):
        if busy.is_free(number, number + _SIZE - 1):
            return IPv4Network((number, 24))
    raise Refused("no free /24 is left in the private ranges", "name one with --subnet")


class _Busy:
    """Taken addresses as spans that neither overlap nor touch, in order.

    Numbers, since asking every subnet about every candidate takes 0.1 s with 300 networks.
    """

    def __init__(self, taken: Iterable[IPv4Network]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(map(_span, taken)):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def is_free(self, first: int, last: int) -> bool:
        place = bisect_right(self._firsts, last)
        return place == 0 or self._lasts[place - 1] < first


def _span(subnet: IPv4Network) -> tuple[int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address)


def _candidates(after: IPv4Network) -> Iterator[int]:
    """The first address of every private /24, in the order in which they are tried."""
    start = int(after.broadcast_address) + 1
    for private in sorted(_PRIVATE, key=lambda one: not one.supernet_of(after)):
        first, last = _span(private)
        begin = max(first, -(-start // _SIZE) * _SIZE) if private.supernet_of(after) else first
        yield from range(begin, last, _SIZE)
        yield from range(first, begin, _SIZE)
