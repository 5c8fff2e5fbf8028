"""Looks at the links, addresses and routes of a namespace, in the calling thread."""

from __future__ import annotations

import errno
import os
from ipaddress import IPv4Interface

from .interface_names import index_of
from .ip_messages import (
    Hop,
    all_addresses,
    all_routes,
    decode_address,
    decode_route,
    find_learned,
    learned_port,
)
from .link_messages import all_links, decode_link
from .namespaces import entered
from .netlink_socket import NetlinkSocket
from .refusals import open_for, translate, unless
from .state import Inside, Link, Route

# Whoever is root in a container can make any number of these; nobody needs more. The default route
# is always the first.
LIMIT = 4096


def look_inside(namespace: str) -> Inside:
    """What is in `namespace`: the first LIMIT links, addresses and routes. Raises KernelRefused."""
    try:
        handle = open_for(namespace)
        try:
            with entered(handle):
                links, addresses, hops = _links(), _addresses(), host_routes()
        finally:
            os.close(handle)
    except OSError as error:
        raise translate(f"cannot look into {namespace}", error) from error
    return Inside(
        links={link.name: link for link in links.values()},
        addresses={
            links[index].name: frozenset(group)
            for index, group in addresses.items()
            if index in links
        },
        routes=name_routes(hops, links),
    )


def host_routes() -> list[Hop]:
    """The IPv4 routes of the thread's namespace, main table, the first LIMIT. Raises OSError."""
    answers = []
    # A namespace in which no link was ever up has no main table yet.
    with NetlinkSocket() as socket, unless(errno.ENOENT):
        answers = socket.dump(all_routes(), LIMIT)
    return [hop for each in answers if (hop := decode_route(each.body)) is not None]


def port_behind(bridge: str, mac: str) -> int:
    """As in `Edge`: the bridge has learned it by now. Raises OSError."""
    with NetlinkSocket() as socket, unless(errno.ENOENT):
        return learned_port(socket.get(find_learned(index_of(bridge), mac)).body)
    return 0


def name_routes(hops: list[Hop], links: dict[int, Link]) -> tuple[Route, ...]:
    """Routes with the names of the links they leave by, "" where that is unknown."""
    return tuple(
        Route(hop.destination, hop.gateway, links[hop.out].name if hop.out in links else "")
        for hop in hops
    )


def _links() -> dict[int, Link]:
    with NetlinkSocket() as socket:
        answers = socket.dump(all_links(), LIMIT)
    links = (decode_link(each.body) for each in answers)
    return {link.index: link for link in links if link is not None}


def _addresses() -> dict[int, set[IPv4Interface]]:
    with NetlinkSocket() as socket:
        answers = socket.dump(all_addresses(), LIMIT)
    found: dict[int, set[IPv4Interface]] = {}
    for each in answers:
        pair = decode_address(each.body)
        if pair is not None:
            found.setdefault(pair[0], set()).add(pair[1])
    return found
