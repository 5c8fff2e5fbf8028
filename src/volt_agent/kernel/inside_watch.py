"""Notices changes inside the namespaces behind the ports: links, addresses and routes.

One socket hears from every namespace that has an id here (NETLINK_LISTEN_ALL_NSID), and a
namespace gets one when the other end of a veth in it is announced. It is not the socket of `watch`:
whoever is root in a container can make as many of these messages as they like, and must not make
volt lose those of the host. For the same reason it is read at intervals.
"""

from __future__ import annotations

import asyncio

from ..bus import Bus
from ..events import InsideChanged
from .ip_messages import GROUP_ADDRESS, GROUP_ROUTE
from .link_messages import GROUP_LINK
from .state import Mirror
from .subscription import OWN_NAMESPACE, Subscription

BUFFER = 4 << 20
# Datagrams per wake-up: 1 ms. They need not be taken apart.
HELPING = 256
# Seconds between two helpings: at most 5 % of the loop's time goes to a namespace gone wild.
PAUSE = 0.02
# Seconds until messages that were lost raise the alarm for all ports at once.
ALARM_PAUSE = 0.5


class InsideWatch:
    """Publishes InsideChanged for the ports of the mirror."""

    def __init__(self, bus: Bus, mirror: Mirror, buffer: int = BUFFER) -> None:
        self._bus, self._mirror, self._buffer = bus, mirror, buffer
        # Namespaces whose port was not in the mirror yet when they spoke: looked up once more.
        self._early: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen from now on. Raises OSError (EPERM) without CAP_NET_BROADCAST."""
        self._loop = asyncio.get_running_loop()
        groups = (GROUP_LINK, GROUP_ADDRESS, GROUP_ROUTE)
        self._socket = Subscription(groups, self._buffer, everywhere=True)
        self._loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for timer in (self._timer, self._alarm):
            if timer is not None:
                timer.cancel()

    def _read(self) -> None:
        helping = self._socket.receive(HELPING)
        self._loop.remove_reader(self._socket.fileno())
        self._timer = self._loop.call_later(PAUSE, self._resume)
        speakers = {namespace for namespace, _datagram in helping.datagrams}
        self._tell(speakers - {OWN_NAMESPACE}, may_wait=True)
        if helping.lost and self._alarm is None:
            self._alarm = self._loop.call_later(ALARM_PAUSE, self._tell_all)

    def _resume(self) -> None:
        early, self._early = self._early, set()
        self._tell(early, may_wait=False)
        self._loop.add_reader(self._socket.fileno(), self._read)

    def _tell_all(self) -> None:
        self._alarm = None
        known = {link.nsid for link in self._mirror.links.values()}
        self._tell(known - {OWN_NAMESPACE}, may_wait=False)

    def _tell(self, namespaces: set[int], may_wait: bool) -> None:
        if not namespaces:
            return
        ports = [link for link in self._mirror.links.values() if link.nsid in namespaces]
        if may_wait:
            self._early |= namespaces - {link.nsid for link in ports}
        for link in ports:
            self._bus.publish(InsideChanged(interface=link.name))
