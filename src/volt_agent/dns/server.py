"""The name server: one UDP and one TCP socket per network, answers from the snapshot."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

from ..errors import VoltError
from ..model.network import Network
from ..model.snapshot import Change, Snapshot
from ..service import ServiceManager
from . import explain, sockets, wire
from .counters import Counters
from .explain import DnsEntry, DnsExplanation
from .forward import Forwarder
from .health import Health
from .listener import UdpListener
from .responder import Responder
from .settings import DnsSettings
from .tcp import TcpClients, TcpListener
from .view import Sight

__all__ = ["Counters", "DnsEntry", "DnsExplanation", "DnsSettings", "NameServer"]

# How long `close` waits for questions that are on their way upstream: more than a good server
# needs, little of the time that a restart may take.
CLOSE_GRACE = 1.0
# Datagrams that `close` still answers on each network, in wake-ups.
_LAST_DRAINS = 64
# Who `volt net dns query` is to the limits of the forwarder.
_OPERATOR = "volt net dns query"


class NameServer:
    """Answers names on the gateway of every network that is open. Everything runs on the loop.

    `start` first; then `follow` for each change, and `open` whenever a bridge is there anew.
    Raises Invalid for settings that cannot be.
    """

    def __init__(
        self, settings: DnsSettings, manager: ServiceManager, metrics: Counters | None = None
    ) -> None:
        self.counters = metrics or Counters()
        self._settings = settings
        self._manager = manager
        self._forwarder = Forwarder(settings, self.counters)
        self._responder = Responder(settings, self._forwarder, self.counters)
        self._clients = TcpClients(self.counters)
        self._open: dict[str, _Door] = {}

    def __repr__(self) -> str:
        return f"<NameServer [{', '.join(sorted(self._open)) or 'closed'}; {self.counters!r}]>"

    # ---- the plane ----------------------------------------------------------------------------

    def start(self, snapshot: Snapshot) -> None:
        """Answer from `snapshot`, once networks are opened."""
        self._responder.start(snapshot)

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> int:
        """Answer from `new`, which is `old` after `change`: at once, for every query from now on.

        Costs what `change` touches, however many names there are; returns how many finished replies
        had to go.
        """
        return self._responder.follow(old, new, change)

    def open(self, network: Network, ifindex: int) -> None:
        """Answer on the gateway address of `network`, on the device `ifindex`.

        Does nothing where that is so already; where only the device is another (the bridge was made
        anew), the sockets move to it with all that is queued. Raises VoltError.
        """
        address = (str(network.gateway), self._settings.port)
        door = self._open.get(network.name)
        if door is not None and door.move(address, ifindex):
            return
        self.close_network(network.name)
        self._open[network.name] = self._open_door(network, address, ifindex)

    def configure(self, settings: DnsSettings) -> None:
        """Go by other settings from now on (but for the port); what is under way goes on.

        Raises Invalid, and then nothing has changed.
        """
        if settings != self._settings:
            self._responder.configure(settings)
        self._forwarder.configure(settings)
        self._settings = settings

    def close_network(self, name: str) -> None:
        """Stop answering on a network that is gone; the service manager forgets its sockets."""
        door = self._open.pop(name, None)
        if door is None:
            return
        door.close()
        self._clients.close_all(name)
        self._responder.views.leave(name)
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            self._manager.forget(sockets.kept_name(kind, name))

    async def close(self) -> None:
        """Answer what has arrived and what is on its way, then stop.

        Sockets that the service manager keeps stay open there: what arrives from now on waits for
        the next agent.
        """
        await self._forwarder.finish(CLOSE_GRACE)
        for door in self._open.values():
            door.answer_the_rest()
            door.close()
        self._open.clear()
        self._clients.close_all()

    # ---- for the operator ---------------------------------------------------------------------

    @property
    def listening(self) -> tuple[IPv4Address, ...]:
        """The gateway addresses that are answered on, sorted."""
        return tuple(sorted(door.gateway for door in self._open.values()))

    @property
    def upstreams(self) -> tuple[Health, ...]:
        """What is known of each server that is asked for other names."""
        return self._forwarder.healths

    @property
    def loops(self) -> tuple[str, ...]:
        """A sentence for each upstream server that turned out to be volt itself."""
        return self._forwarder.loops

    @property
    def overflows(self) -> int:
        """Datagrams that the kernel dropped because the queue of their network was full."""
        return sum(door.overflows for door in self._open.values())

    def flush(self) -> int:
        """Empty the caches; returns how many entries they had."""
        return self._responder.flush()

    def entries(self, snapshot: Snapshot) -> list[DnsEntry]:
        """Every name that is answered here: a row for each workload and network, sorted."""
        return explain.entries(snapshot, self._settings.zone)

    async def query(self, name: str, qtype: str, asking: IPv4Address | None) -> DnsExplanation:
        """What `asking` (None: the host) would be told now about `name`, and why.

        `qtype` is text ("A", "TYPE65"); for "PTR" the name may be an address. It takes the same way
        as a packet, but for the cache of finished replies. Raises Invalid and Refused.
        """
        responder = self._responder
        snapshot, subnets = responder.snapshot, responder.views.subnets
        number = explain.type_number(qtype)
        wire_name = explain.question_name(name, number)
        _, sight = explain.standpoint(snapshot, subnets, asking)
        reach = responder.reach(sight, wire_name, number)
        reply = await self._ask(sight, explain.packet_for(wire_name, number))
        asker = "host" if asking is None else str(asking)
        question = wire.question_of(wire_name, number)
        return explain.explain(snapshot, sight, asker, reach, question, reply)

    # ---- inside -------------------------------------------------------------------------------

    async def _ask(self, sight: Sight, packet: bytes) -> bytes:
        """The reply to a question of our own. The forwarder has its own end of patience."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def deliver(octets: bytes) -> None:
            if not reply.done():
                reply.set_result(octets)

        view = self._responder.views.view(sight)
        self._responder.respond(view, packet, _OPERATOR, deliver, stream=True)
        return await reply

    def _open_door(self, network: Network, address: tuple[str, int], ifindex: int) -> _Door:
        udp = self._socket(socket.SOCK_DGRAM, network, address, ifindex)
        try:
            tcp = self._socket(socket.SOCK_STREAM, network, address, ifindex)
        except VoltError:
            udp.close()
            self._manager.forget(sockets.kept_name(socket.SOCK_DGRAM, network.name))
            raise
        return _Door(
            address,
            ifindex,
            UdpListener(udp, network, self._responder, self.counters),
            TcpListener(tcp, network, self._responder, self._clients),
        )

    def _socket(
        self, kind: socket.SocketKind, network: Network, address: tuple[str, int], ifindex: int
    ) -> socket.socket:
        return sockets.obtain(self._manager, kind, network.name, address, ifindex)


class _Door:
    """The sockets of one network, and who listens on them."""

    def __init__(
        self, address: tuple[str, int], ifindex: int, udp: UdpListener, tcp: TcpListener
    ) -> None:
        self._address = address
        self._ifindex = ifindex
        self._udp = udp
        self._tcp = tcp

    @property
    def gateway(self) -> IPv4Address:
        return IPv4Address(self._address[0])

    @property
    def overflows(self) -> int:
        return self._udp.overflows

    def move(self, address: tuple[str, int], ifindex: int) -> bool:
        """Be on the device `ifindex` from now on; False where that takes new sockets."""
        if address != self._address:
            return False
        if ifindex != self._ifindex:
            try:
                sockets.bind_to_device(self._udp.socket, ifindex)
                sockets.bind_to_device(self._tcp.socket, ifindex)
            except OSError:
                return False
            self._ifindex = ifindex
        return True

    def answer_the_rest(self) -> None:
        """Answer what is queued now, as far as that ends."""
        for _ in range(_LAST_DRAINS):
            if not self._udp.drain():
                return

    def close(self) -> None:
        self._udp.close()
        self._tcp.close()
