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
# Frames for one wake-up of the loop.
DRAIN = 16


def may_be_used(snapshot: Snapshot, network: Network, mirror: Mirror, places: Places) -> bool:
    """Whether somebody on `network` could use an address that volt did not give: a port without
    port security, or an uplink."""
    for name in mirror.ports_of(network.bridge):
        port = places.with_index(mirror.links[name].index) if name in mirror.links else None
        if port is None or not is_secured(snapshot, port):
            return True
    return False


class Prober:
    """Asks on one bridge. Its socket is opened when first needed: most networks never do."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._socket: socket.socket | None = None
        self._waiting: dict[IPv4Address, asyncio.Future[str]] = {}

    def __repr__(self) -> str:
        return f"<Prober on {self._network.bridge} [{len(self._waiting)} asked for]>"

    async def user_of(self, address: IPv4Address) -> str | None:
        """The MAC that says it has `address`; None if nobody does in time.

        Raises Failed and OSError where the bridge is gone.
        """
        sock = self._listen()
        loop = asyncio.get_running_loop()
        answer = self._waiting.setdefault(address, loop.create_future())
        sock.send(who_has(address, self._network.gateway, sockets.mac_of(sock)))
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(address, None)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            sockets.close(self._socket)
            self._socket = None

    def _listen(self) -> socket.socket:
        if self._socket is None:
            self._socket = sockets.hear_arp(self._network.bridge)
            asyncio.get_running_loop().add_reader(self._socket, self._drain, self._socket)
        return self._socket

    def _drain(self, sock: socket.socket) -> None:
        for _ in range(DRAIN):
            try:
                frame, _ = sockets.receive(sock)
            except OSError:  # nothing more, or the bridge went down
                return
            found = read_arp_reply(frame)
            answer = self._waiting.get(found[0]) if found is not None else None
            if found is not None and answer is not None and not answer.done():
                answer.set_result(found[1])
