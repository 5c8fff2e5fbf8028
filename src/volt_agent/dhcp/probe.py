"""Does somebody use an address already? (RFC 2131, section 4.4.1: a server SHOULD find out.)

Asked only where it can be: the guard binds every port with port security to its own address, so
nobody there can use one that volt did not give.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

from ..kernel.state import Mirror
from ..model.network import Network
from ..model.snapshot import Snapshot
from . import sockets
from .clients import Places, is_secured
from .frames import read_arp_reply, who_has

# Seconds. A neighbour on one bridge answers in less than one millisecond, an emulated machine in
# tens; a client waits for its offer three seconds or longer.
PATIENCE = 0.2


def may_be_used(snapshot: Snapshot, network: Network, mirror: Mirror, places: Places) -> bool:
    """Whether somebody on `network` could use an address that volt did not give: a port without
    port security, or an uplink."""
    for name in mirror.ports_of(network.bridge):
        port = places.with_index(mirror.links[name].index) if name in mirror.links else None
        if port is None or not is_secured(snapshot, port):
            return True
    return False


async def user_of(address: IPv4Address, network: Network) -> str | None:
    """The MAC that says it has `address`; None if nobody does in time. Raises Failed, OSError."""
    sock = sockets.hear_arp(network.bridge)
    try:
        sock.send(who_has(address, network.gateway, sockets.mac_of(sock)))
        async with asyncio.timeout(PATIENCE):
            return await _reply(sock, address)
    except TimeoutError:
        return None
    finally:
        sock.close()


async def _reply(sock: socket.socket, address: IPv4Address) -> str:
    loop = asyncio.get_running_loop()
    while True:
        found = read_arp_reply(await loop.sock_recv(sock, 2048))
        if found is not None and found[0] == address:
            return found[1]
