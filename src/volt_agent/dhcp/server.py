"""The DHCP server: a socket on every bridge, leases in the registry. Everything on the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from ipaddress import IPv4Address

from msgspec import Struct
from msgspec.structs import replace

from ..bus import Bus
from ..errors import Refused, VoltError
from ..events import LeaseEnded, LeaseGiven
from ..kernel.edge import Edge
from ..kernel.ops import SetNeighbour
from ..model.lease import Lease
from ..model.network import Network
from ..model.snapshot import Change, Object, Snapshot
from ..model.workload import Port
from ..registry import Registry
from ..service import ServiceManager
from . import frames, leases, sockets
from .clients import Client, Places, client_at, is_secured, relayed_client
from .counters import Counters
from .frames import CLIENT_PORT, SERVER_PORT, Datagram
from .leases import Decline, End, Exhausted, Grant, Inform, Offer, Outcome, Refuse, Silence
from .limits import Limiter
from .message import FROM_CLIENTS, REQUEST, Kind, Malformed, Message, parse
from .pool import DECLINED_REST, REST, Pool
from .probe import Prober, may_be_used
from .reply import answer, datagram, refusal
from .settings import DhcpSettings

log = logging.getLogger(__name__)

# Frames for one wake-up of the loop, so that other tasks get their turn; one takes about 100 us.
DRAIN = 16
# What waits for the kernel or the store at a time; what comes meanwhile will be asked again.
UNDER_WAY_MAX = 128
# Seconds: a client may be quicker than the notice of its port. How long it is waited for, and how
# often looked; a client that is not answered asks again after four seconds (RFC 2131, section 4.1).
PORT_WAIT, PORT_LOOK = 0.5, 0.02
# Seconds between looks for leases that have run out.
SWEEP = 5.0
_ALL = IPv4Address("255.255.255.255")


class LeaseView(Struct, frozen=True):
    """A lease as it is now; `expires` is wall-clock time, renewals included."""

    lease: Lease
    expires: float


class Question(Struct, frozen=True):
    """A message that a client sent, and how it came."""

    message: Message
    asked: Datagram
    client: Client


class Granting(Struct, frozen=True):
    """A question that will be answered with a lease of `address`, once that is stored."""

    question: Question
    address: IPv4Address

    @property
    def client(self) -> Client:
        return self.question.client


class DhcpServer:
    """Answers on every network that is open.

    `start` first; then `follow` for each change, and `open` whenever a bridge is there anew.
    """

    def __init__(
        self,
        settings: DhcpSettings,
        registry: Registry,
        edge: Edge,
        bus: Bus,
        manager: ServiceManager,
    ) -> None:
        self.counters = Counters()
        self._settings = settings
        self._manager = manager
        self._registry, self._edge, self._bus = registry, edge, bus
        self._places, self._pool, self._limiter = Places(), Pool(), Limiter()
        self._doors: dict[str, _Door] = {}
        self._expires: dict[str, float] = {}  # lease key -> when, renewals included
        self._granting: dict[str, Granting] = {}  # client key -> what waits for a commit
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._full: set[tuple[str, str | None]] = set()  # network, port: said to have none left
        # Wall-clock time that no clock step touches: leases must not end because of one.
        self._since_epoch = time.time() - time.monotonic()
        self._began = self._now()

    def __repr__(self) -> str:
        return f"<DhcpServer [{', '.join(sorted(self._doors)) or 'closed'}; {self.counters!r}]>"

    # ---- the plane ------------------------------------------------------------------------------

    def start(self, snapshot: Snapshot) -> None:
        """Begin with the leases and ports of `snapshot`."""
        self._places.start(snapshot)

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        """Called with every commit: whose port is gone has no lease any more."""
        self._places.follow(old, new, change)
        for each in change.touched():
            if isinstance(each, Lease) and each.key not in new.leases:
                self._expires.pop(each.key, None)
            elif isinstance(each, Port) and each.key in new.leases and _has_ended(each, new):
                self._give_back(new.leases[each.key], "its port is gone")

    def open(self, network: Network, ifindex: int) -> None:
        """Answer on the bridge of `network`; does nothing where that is so. Raises Failed."""
        door = self._doors.get(network.name)
        if door is not None and door.ifindex == ifindex:
            return
        self.close_network(network.name)
        self._doors[network.name] = _Door(network, ifindex, self._manager, self._received)

    def configure(self, settings: DhcpSettings) -> None:
        """Go by other settings from now on; leases keep what they were given."""
        self._settings = settings

    def close_network(self, name: str) -> None:
        """Stop answering on a network; the service manager forgets its socket."""
        door = self._doors.pop(name, None)
        if door is not None:
            door.close()
            self._manager.forget(sockets.kept_name(name))

    async def close(self) -> None:
        """Stop, and store how long leases were renewed for.

        What the service manager keeps stays open there: questions wait for the next agent.
        """
        while self._doors:
            self._doors.popitem()[1].close()
        for task in [*self._under_way.values()]:
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        try:
            await self._registry.commit(self._renewals)
        except VoltError as error:
            log.error("renewals of leases are not stored: %s", error)

    async def run(self) -> None:
        """End what has run out, until cancelled."""
        while True:
            await self._sweep()
            await asyncio.sleep(SWEEP)

    # ---- for the operator -----------------------------------------------------------------------

    def entries(self) -> list[LeaseView]:
        """Every lease, by network and address."""
        found = self._registry.snapshot.leases.values()
        ordered = sorted(found, key=lambda each: (each.network, each.address))
        return [LeaseView(each, self._expires.get(each.key, each.expires)) for each in ordered]

    # ---- what comes in --------------------------------------------------------------------------

    def _received(self, network: Network, asked: Datagram) -> None:
        try:
            message = parse(asked.data)
        except Malformed:
            self.counters.malformed += 1
            return
        is_question = message.op == REQUEST and message.kind in FROM_CLIENTS
        if not is_question or asked.target not in (_ALL, network.gateway):
            self.counters.malformed += 1
            return
        self.counters.received[message.kind] += 1
        if not message.is_relayed and (
            asked.source_mac != message.mac or asked.source_port != CLIENT_PORT
        ):
            self.counters.foreign += 1
            return
        port = self._places.with_mac(network.name, asked.source_mac)
        if port is not None:
            self._identified(network, message, asked, port)
        else:
            key = f"mac {asked.source_mac} {message.mac}"
            self._spawn(key, self._identify(network, message, asked))

    async def _identify(self, network: Network, message: Message, asked: Datagram) -> None:
        """Ask the bridge where it has learned a MAC that no port is known by."""
        try:
            index = await self._edge.port_behind(network.bridge, asked.source_mac)
        except VoltError:  # the bridge is gone
            return
        port = self._places.with_index(index)
        end = self._now() + PORT_WAIT
        while port is None and index and self._now() < end:
            await asyncio.sleep(PORT_LOOK)
            port = self._places.with_index(index)
        self._identified(network, message, asked, port)

    def _identified(
        self, network: Network, message: Message, asked: Datagram, port: Port | None
    ) -> None:
        snapshot, now = self._registry.snapshot, self._now()
        client = None
        if port is not None and message.is_relayed:
            client = relayed_client(snapshot, network, port, message.giaddr, message.mac)
        elif port is not None:
            client = client_at(snapshot, network, port, message.mac)
        if client is None:
            self.counters.foreign += 1
            return
        is_for_many = not is_secured(snapshot, client.port)
        if not self._limiter.allows(client.port.key, is_for_many, now):
            self.counters.limited += 1
            return
        outcome = leases.decide(message, asked.source, client, snapshot, self._pool, now)
        self._carry_out(Question(message, asked, client), outcome)

    # ---- what follows from it -------------------------------------------------------------------

    def _carry_out(self, question: Question, outcome: Outcome) -> None:
        match outcome:
            case Offer(address=address):
                self._offer(question, address)
            case Grant(address=address):
                self._grant(question, address)
            case Refuse(why=why):
                self._pool.withdraw(question.client.key)
                network = question.client.network
                self._send(question, refusal(question.message, network, why))
            case Inform():
                self._send_answer(question, Kind.ACK, None)
            case End(lease=lease):
                self._give_back(lease, "released")
            case Decline(address=address):
                self._declined(question.client, address)
            case Exhausted():
                self._exhausted(question.client)
            case Silence():
                self._pool.withdraw(question.client.key)
                self.counters.silent += 1

    def _offer(self, question: Question, address: IPv4Address) -> None:
        snapshot, client = self._registry.snapshot, question.client
        is_new = self._pool.own(snapshot, client) is None
        if is_new:
            self._full.discard((client.network.name, client.behind))
        self._pool.offer(client, address, self._now())
        mirror = self._edge.mirror
        if is_new and may_be_used(snapshot, client.network, mirror, self._places):
            self._spawn(client.key, self._offer_if_unused(question, address))
        else:
            self._send_answer(question, Kind.OFFER, address)

    async def _offer_if_unused(self, question: Question, address: IPv4Address) -> None:
        """What somebody uses is left alone, and the client gets another one when it asks again."""
        client = question.client
        door = self._doors.get(client.network.name)
        if door is None:
            return
        try:
            user = await door.prober.user_of(address)
        except (VoltError, OSError):  # the bridge is gone
            return
        if user in (None, client.mac):
            self._send_answer(question, Kind.OFFER, address)
            return
        log.warning("%s on %s is used by %s already", address, client.network.name, user)
        self._pool.withdraw(client.key)
        self._pool.rest(address, self._now() + DECLINED_REST)

    def _grant(self, question: Question, address: IPv4Address) -> None:
        client = question.client
        if leases.is_same(self._registry.snapshot.leases.get(client.key), client, address):
            self._acknowledge(question, address)
        elif len(self._granting) < UNDER_WAY_MAX:
            self._granting[client.key] = Granting(question, address)
            if "grants" not in self._under_way:
                self._spawn("grants", self._grant_all())
        else:
            self.counters.limited += 1

    async def _grant_all(self) -> None:
        """One commit for all that ask meanwhile: a commit waits for the disk."""
        while self._granting:
            batch, self._granting = [*self._granting.values()], {}
            refused: dict[str, str] = {}
            expires = self._now() + self._settings.lease_time
            try:
                commit = await self._registry.commit(
                    partial(_grant_each, batch=batch, expires=expires, refused=refused)
                )
            except VoltError as error:
                log.error("%d leases are not given: %s", len(batch), error)
                continue
            new = {each.key for each in commit.change.put if isinstance(each, Lease)}
            for each in batch:
                self._granted(each, each.client.key in new, refused.get(each.client.key))
            await self._introduce(batch)

    def _granted(self, granting: Granting, is_new: bool, refused: str | None) -> None:
        """It is stored and in force, so it may be said: no client has what a crash forgets."""
        question, client = granting.question, granting.client
        if refused is not None:
            self._send(question, refusal(question.message, client.network, refused))
            return
        self._acknowledge(question, granting.address)
        if is_new:
            self._bus.publish(
                LeaseGiven(
                    network=client.network.name,
                    workload=client.behind or client.workload,
                    address=str(granting.address),
                    mac=client.mac,
                )
            )

    async def _introduce(self, batch: Iterable[Granting]) -> None:
        """Tell the host where the addresses are: it may have asked before anybody was there."""
        ops = [
            SetNeighbour(name=each.client.network.bridge, address=each.address, mac=each.client.mac)
            for each in batch
            if each.client.behind is None
        ]
        try:
            if ops:
                await self._edge.execute(ops)
        except VoltError as error:  # the bridge is gone; who needs to know will ask
            log.debug("%s", error)

    def _acknowledge(self, question: Question, address: IPv4Address) -> None:
        client = question.client
        self._pool.withdraw(client.key)
        self._expires[client.key] = self._now() + self._settings.lease_time
        self._send_answer(question, Kind.ACK, address)

    def _declined(self, client: Client, address: IPv4Address) -> None:
        """Give the client another address, unless a user has asked for just this one."""
        lease = self._registry.snapshot.leases.get(client.key)
        log.warning("%s says that somebody else uses %s", client.workload, address)
        if client.key in self._registry.snapshot.connections:
            return
        if not self._pool.decline(client, address, self._now()):
            self.counters.limited += 1
            return
        self._pool.withdraw(client.key)
        if lease is not None:
            self._give_back(lease, "declined", keep=False)

    def _exhausted(self, client: Client) -> None:
        self.counters.exhausted += 1
        key = client.network.name, client.behind
        if key in self._full:
            return
        self._full.add(key)
        if client.behind is None:
            log.warning(
                "network %s: no address of %s is left for %s, which gets the next one given back",
                client.network.name,
                client.network.subnet,
                client.workload,
            )
        else:
            log.warning(
                "network %s: no address is left for %s, as those behind the port of %s have as"
                " many as one port may have",
                client.network.name,
                client.mac,
                client.behind,
            )

    # ---- ends -----------------------------------------------------------------------------------

    def _give_back(self, lease: Lease, why: str, keep: bool = True) -> None:
        self._spawn(f"end {lease.key}", self._end([lease], why, keep))

    async def _sweep(self) -> None:
        snapshot, now = self._registry.snapshot, self._now()
        over = [each for each in snapshot.leases.values() if self._is_over(each, now)]
        await self._end(over, "expired")
        gone = [each for each in snapshot.leases.values() if _is_orphan(each, snapshot)]
        await self._end(gone, "its port is gone")

    def _is_over(self, lease: Lease, now: float) -> bool:
        """A lease that was not heard of since the start may have been renewed just before it."""
        latest = max(lease.expires, self._began + self._settings.lease_time)
        return self._expires.get(lease.key, latest) <= now

    async def _end(self, gone: Iterable[Lease], why: str, keep: bool = True) -> None:
        for lease in gone:
            now = self._now()
            try:
                commit = await self._registry.commit(
                    partial(leases.end, lease=lease, now=now, keep=keep)
                )
            except VoltError as error:
                log.error("the lease of %s does not end: %s", lease.workload, error)
                return
            if commit.change.is_empty:
                continue
            if lease.behind is not None:
                self._pool.rest(lease.address, now + REST)
            self._bus.publish(
                LeaseEnded(
                    network=lease.network,
                    workload=lease.behind or lease.workload,
                    address=str(lease.address),
                    why=why,
                )
            )

    def _renewals(self, snapshot: Snapshot) -> Change:
        renewed = (
            replace(each, expires=self._expires[each.key])
            for each in snapshot.leases.values()
            if self._expires.get(each.key, each.expires) > each.expires
        )
        return Change(put=tuple(renewed))

    # ---- inside ---------------------------------------------------------------------------------

    def _send_answer(self, question: Question, kind: Kind, address: IPv4Address | None) -> None:
        reply = answer(
            question.message,
            question.client,
            kind,
            address,
            self._registry.snapshot,
            self._settings,
        )
        self._send(question, reply)

    def _send(self, question: Question, reply: Message) -> None:
        network = question.client.network
        door = self._doors.get(network.name)
        if door is None:
            return
        if door.send(datagram(reply, question.message, question.asked, network)):
            self.counters.sent[reply.kind] += 1
        else:
            self.counters.unsent += 1

    def _spawn(self, key: str, work: Coroutine[None, None, None]) -> None:
        """Do `work` beside the loop; nothing if the same is under way, or too much is."""
        if key in self._under_way or len(self._under_way) >= UNDER_WAY_MAX:
            self.counters.limited += 1
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=f"dhcp {key}")
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._finished(key, done))

    def _finished(self, key: str, task: asyncio.Task[None]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    def _now(self) -> float:
        return self._since_epoch + time.monotonic()


def _grant_each(
    snapshot: Snapshot, batch: Iterable[Granting], expires: float, refused: dict[str, str]
) -> Change:
    """One change for all of `batch`; `refused` gets those that cannot be, with the reason."""
    put: list[Object] = []
    delete: list[Object] = []
    refused.clear()  # a registry may decide twice
    for each in batch:
        try:
            change = leases.grant(snapshot, each.client, each.address, expires)
        except Refused as error:
            refused[each.client.key] = error.message
            continue
        snapshot = snapshot.apply(change)
        put += change.put
        delete += change.delete
    return Change(put=tuple(put), delete=tuple(delete))


def _has_ended(port: Port, new: Snapshot) -> bool:
    """Whether the life of a touched port has ended: it is gone, or its virtual machine is off."""
    now = new.ports.get(port.key)
    if now is None:
        return True
    instance = new.instances.get(port.workload)
    is_vm = instance is not None and instance.kind == "vm"
    return is_vm and not now.made and not now.up


def _is_orphan(lease: Lease, snapshot: Snapshot) -> bool:
    """Whether the port of a lease is gone, perhaps while the agent was not there."""
    port = snapshot.ports.get(f"{lease.network}/{lease.behind or lease.workload}")
    return port is None or port.ifindex != lease.ifindex


class _Door:
    """The sockets on one network's bridge."""

    def __init__(
        self,
        network: Network,
        ifindex: int,
        manager: ServiceManager,
        received: Callable[[Network, Datagram], None],
    ) -> None:
        self.ifindex = ifindex
        self._network = network
        self._received = received
        self._holder = sockets.hold_port(network.bridge, ifindex, str(network.gateway))
        try:
            self._socket = sockets.obtain(manager, network.name, network.bridge)
        except VoltError:
            self._holder.close()
            raise
        self._mac = sockets.mac_of(self._socket)
        self.prober = Prober(network)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._drain)

    def __repr__(self) -> str:
        return f"<_Door on {self._network.bridge}>"

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        sockets.close(self._socket)
        self.prober.close()
        self._holder.close()

    def send(self, reply: Datagram) -> bool:
        """Whether the kernel took it; a client that misses a reply asks again."""
        try:
            self._socket.send(frames.write(replace(reply, source_mac=self._mac)))
        except OSError:
            return False
        return True

    def _drain(self) -> None:
        for _ in range(DRAIN):
            try:
                frame, has_checksum = sockets.receive(self._socket)
            except BlockingIOError:
                return
            except OSError:  # reported once, when the bridge goes down
                return
            asked = frames.read(frame, has_checksum)
            if asked is not None and asked.target_port == SERVER_PORT:
                self._received(self._network, asked)


__all__ = ["Counters", "DhcpServer", "DhcpSettings", "LeaseView"]
