"""The plane: follows the snapshot, opens and closes the doors, drains, stops."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import anyio
from msgspec.structs import replace

from ..bus import Bus
from ..errors import VoltError
from ..events import Degraded, Repaired
from ..handover.connections import Connection
from ..model.route import Route, Scheme
from ..model.snapshot import Change, Snapshot
from ..service import ServiceManager
from . import certificate_figures
from .acme.lookups import look_up
from .acme.manager import Certificates as AutomaticCertificates
from .acme.outlook import Outlook, closed_by, own_addresses
from .acme.preflight import HTTP_PORT, Door, Names
from .acme.state import words
from .carry import Departure, adopt
from .certificate import Files
from .counters import Counters
from .doors import Acceptor, Doors, DoorState
from .figures import Figures, exposition, figures
from .health import Standing
from .keeper import HolderKeeper
from .limits import Limits, affordable
from .observer import Observer
from .outside import OutsideNames
from .poller import Poller
from .probes import Prober
from .proxy import Proxy
from .resolve import hosts_of
from .routing import BackendState, Routing
from .settings import IngressSettings
from .targets import Endpoint, Target
from .tls import Certificates, Entry, automatic_hosts, manual_files

log = logging.getLogger(__name__)

# Seconds between two tries of a port that somebody else has.
RETRY = 2.0
# How long a command waits until the firewall lets in what it opened, and for first health checks.
SETTLE_WAIT = 2.0
CHECK_WAIT = 0.5

_FAILED_SHOWN = 20  # certificates that are named one by one

PortsChanged = Callable[[], Awaitable[None]]
# Who leads a port of the host's own addresses elsewhere, in words.
WhoTakes = Callable[[int, Collection[str]], str | None]


class Ingress:
    """Serves the routes of the snapshot. Everything runs on the loop.

    `open` first, which only binds; then `start`, `follow` for each change, and `run` as a task. The
    snapshot of an agent that observes nothing (`observes` False) does not tell what runs.
    Automatic certificates are kept below `certificates`. At `holder` somebody may be who holds
    tunnels while there is no agent (`keeper`).
    """

    _keeper: HolderKeeper | None

    def __init__(
        self,
        settings: IngressSettings,
        manager: ServiceManager,
        bus: Bus,
        certificates: Path,
        *,
        observes: bool = True,
        who_takes: WhoTakes = lambda _port, _own: None,
        holder: Path | None = None,
    ) -> None:
        self._settings, self._bus = settings, bus
        self._holder, self._keeper = holder, None
        self._poller = Poller()
        self.proxy = Proxy(self._poller, _limits())
        self._health = Prober(self._poller, settings.health)
        self._health.on_change = self._health_changed
        self.proxy.on_result = self._health.note
        self._counters = Counters(time.monotonic())
        self.proxy.observer = self._observer = Observer(self._counters)
        self.proxy.on_refused = self._counters.note_refusal
        self._names = OutsideNames(self._look_again)
        self._certificates = Certificates()
        self._has_new_certificates = False
        self._outcomes = certificate_figures.Outcomes(bus)
        self.proxy.context_for = self._certificates.context_for
        self._observes, self._who_takes = observes, who_takes
        self._issued: dict[str, Files] = {}  # the automatic certificates that there are
        self._automatic = AutomaticCertificates(
            settings.acme,
            certificates,
            bus.publish,
            self._install,
            Outlook(self.settled, self._door, self._look_up, own_addresses),
        )
        self.proxy.challenge = self._automatic.challenge
        self._routing = Routing(self.proxy, self._health, observes=observes)
        self._routing.outside = self._names.addresses
        self._doors = Doors(manager, self._accept)
        self._snapshot = Snapshot()
        self._on_ports: PortsChanged = _nobody
        self._told: tuple[int, ...] = ()  # the ports that `on_ports` knows of
        self._is_judged = asyncio.Event()  # an endpoint has changed its state
        self._said: dict[Scheme, DoorState] = {}  # the refusals that were announced
        self._wake, self._is_settled = asyncio.Event(), asyncio.Event()
        self._is_settled.set()
        self._apply_settings()

    def __repr__(self) -> str:
        return f"<Ingress [{self._doors!r}, {self._routing!r}]>"

    # ---- the plane ------------------------------------------------------------------------------

    def open(self, snapshot: Snapshot) -> None:
        """Listen for what `snapshot` has; connections wait until `start`."""
        self._snapshot = snapshot
        self._poller.start()
        self._routing.start(snapshot)
        self._find_holder()
        self._names.want(self._routing.hosts())
        self._automatic.want(automatic_hosts(snapshot.routes.values()))
        self._want_doors()
        self._told = self.ports

    async def start(self, snapshot: Snapshot, on_ports: PortsChanged) -> None:
        """Begin to serve: requests that wait already shall find certificates and healthy backends.
        `snapshot` is the present one, with what the firewall was told of the ports since `open`.
        `on_ports` is called after the ports listened on have changed, with the firewall in mind."""
        self._snapshot, self._on_ports = snapshot, on_ports
        await self._automatic.load()
        await self._use_certificates()
        await self.checked()
        self._doors.start()

    def follow(self, old: Snapshot, new: Snapshot, change: Change) -> None:
        self._snapshot = new
        self._routing.follow(new, change)
        routes = [each for each in change.touched() if isinstance(each, Route)]
        if routes:
            self._want_doors()
        if any(map(hosts_of, routes)):
            self._names.want(self._routing.hosts())
        if any(each.tls in ("auto", "manual") for each in routes):
            self._automatic.want(automatic_hosts(new.routes.values()))
        if any(each.tls == "manual" for each in routes):
            self._has_new_certificates = True
            self._look_soon()

    def configure(self, settings: IngressSettings) -> None:
        """Go by other settings from now on; connections stay."""
        self._settings = settings
        self._apply_settings()
        self._want_doors()

    async def run(self) -> None:
        """Have the firewall follow the doors, try ports again that are taken, read certificates
        that are new."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._certificates.watch, name="certificates")
            group.start_soon(self._names.run, name="outside names")
            group.start_soon(self._automatic.run, name="automatic certificates")
            await self._look_after_doors()

    async def _look_after_doors(self) -> None:
        self._wake.set()
        while True:
            with anyio.move_on_after(RETRY if self._doors.refused else None):
                await self._wake.wait()
            self._wake.clear()
            if self._has_new_certificates:
                await self._use_certificates()
            await self._look_at_doors()
            if not self._wake.is_set():
                self._is_settled.set()

    async def settled(self) -> None:
        """Wait until the firewall lets in what the last changes opened, certificates are read and
        owners of ports known; or for SETTLE_WAIT."""
        with anyio.move_on_after(SETTLE_WAIT):
            await self._is_settled.wait()

    async def checked(self, *routes: str) -> None:
        """Wait until the first health checks of the backends of these routes (none named: of all)
        are over, or for CHECK_WAIT."""
        names = routes or tuple(self._snapshot.routes)
        with anyio.move_on_after(CHECK_WAIT):
            for name in names:
                while any(each.status == "checking" for each in self.backends(name)):
                    self._is_judged.clear()
                    await self._is_judged.wait()

    async def suspend(self) -> None:
        """Finish what is in flight within `ingress.stop_timeout` and cut the rest, after settings
        without ports were configured; with ports it serves again."""
        await self.proxy.drain(self._settings.stop_timeout)

    def depart(self, most: int | None = None) -> Departure:
        """Halt connections that another process can take, at most `most` of a kind. New ones are
        not accepted any more, or shared with it."""
        return Departure(self.proxy, most)

    def adopt(self, connection: Connection, descriptors: tuple[int, ...]) -> None:
        """Serve a connection of another process; `start` was before."""
        adopt(self.proxy, self._target, connection, descriptors)

    def succeeded(self) -> None:
        """Another process has taken our place: stop accepting; what `close` waits for meanwhile may
        travel, as soon as it can."""
        self.proxy.has_successor = True
        self._doors.close()

    async def close(self, seconds: float | None = None) -> None:
        """Accept nothing more, finish what is in flight within `seconds` (`ingress.stop_timeout`),
        cut the rest."""
        self._doors.close()
        await self.proxy.drain(self._settings.stop_timeout if seconds is None else seconds)
        if self._keeper is not None:
            self._keeper.close()
        self._health.close()
        self._routing.close()
        self._poller.close()
        requests = self._observer.log
        self._observer.log_to(None)
        if requests is not None:
            await asyncio.to_thread(requests.wait)

    # ---- for the operator -----------------------------------------------------------------------

    @property
    def settings(self) -> IngressSettings:
        return self._settings

    @property
    def automatic(self) -> AutomaticCertificates:
        """The certificates that look after themselves."""
        return self._automatic

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on."""
        return self._doors.ports

    def doors(self) -> list[DoorState]:
        ports = self._settings.ports
        states = self._doors.states({"http": ports.http, "https": ports.https})
        if ports.enabled:
            return states
        return [replace(each, reason="ingress.enabled is false") for each in states]

    def refusal(self, scheme: Scheme) -> OSError | None:
        """Why a wanted door could not be opened."""
        return self._doors.refused.get(scheme)

    def problems(self) -> list[str]:
        """What is not as it should be, in sentences."""
        now = time.time()
        failed = [each for each in self._automatic.states().values() if each.state == "failed"]
        found = [
            f"ingress: certificate of {each.host}: {words(each, now)}"
            for each in failed[:_FAILED_SHOWN]
        ]
        if failed[_FAILED_SHOWN:]:
            found.append(f"ingress: certificates of {len(failed) - _FAILED_SHOWN} more hosts")
        return self.port_problems() + found

    def port_problems(self) -> list[str]:
        """What is wrong with the ports and the access log."""
        found = [
            f"ingress: port {each.port} ({each.scheme}): {each.reason}"
            for each in self.doors()
            if each.state == "busy"
        ]
        if not self._settings.ports.enabled and self._routing.has_routes:
            found.append("ingress: switched off (ingress.enabled is false): no route is served")
        requests = self._observer.log
        if requests is not None and requests.problem is not None:
            found.append(f"ingress: access log {requests.place}: {requests.problem}")
        return found

    def certificate(self, route: Route) -> str | None:
        """How it is with the certificate of a route, in words; None where no TLS ends here."""
        if route.tls == "auto":
            return words(self._automatic.state(route.hostname), time.time())
        if route.tls == "manual":
            return self._certificates.state_of(route.hostname, datetime.now(UTC))
        return None

    async def reload(self) -> tuple[int, list[str]]:
        """Read certificates again, and begin a new access log if the file was moved away; how many
        certificates there are, and what is wrong with them."""
        if self._observer.log is not None:
            self._observer.log.reopen()
        return len(manual_files(self._snapshot.routes.values())), await self._certificates.reload()

    async def figures(self) -> Figures:
        """What the ingress has done since the agent started."""
        return await figures(self.proxy, self._counters, self._targets(), time.monotonic())

    def metrics(self) -> bytes:
        """The same for Prometheus."""
        text = exposition(self.proxy, self._observer, self._targets(), self._health.standing)
        expiries = {
            host: entry.usable.certificate.not_after.timestamp()
            for host, (_, entry) in self.served().items()
            if entry.usable is not None
        }
        return (text + certificate_figures.exposition(self._outcomes, expiries)).encode()

    def served(self) -> dict[str, tuple[Files, Entry]]:
        """The certificate files for each host name, and what became of them."""
        return self._certificates.served()

    def _targets(self) -> list[Target]:
        return [each.target for each in self._routing.live]

    def _target(self, route: str) -> Target | None:
        live = self._routing.find(route)
        return None if live is None else live.target

    def backends(self, route: str) -> list[BackendState]:
        return self._routing.states(route)

    # ---- inside ---------------------------------------------------------------------------------

    def _find_holder(self) -> None:
        """Go on with the tunnels that the last agent has left there, if there is one."""
        if self._holder is None:
            return
        keeper = HolderKeeper(self.proxy, self._holder, self._target)
        if keeper.start():
            self.proxy.keeper = self._keeper = keeper

    def _apply_settings(self) -> None:
        self.proxy.trusted = self._settings.trusted
        self.proxy.https_port = self._settings.ports.https
        self._health.configure(self._settings.health)
        self._names.configure(self._settings.upstreams)
        self._automatic.configure(self._settings.acme)
        self._observer.log_to(self._settings.access_log)

    def _install(self, host: str, files: Files | None) -> None:
        """Show this certificate to new connections, or none any more."""
        if files is None:
            self._issued.pop(host, None)
        else:
            self._issued[host] = files
        self._has_new_certificates = True
        self._look_soon()

    def _door(self, own: Iterable[str]) -> Door:
        """Where CAs ask at our `own` addresses, and what keeps them from getting there."""
        door = next(each for each in self.doors() if each.scheme == "http")
        if door.state != "listening":
            reason = door.reason or "the ingress is switched off (ingress.enabled)"
            return Door(door.port, f"port {door.port}: {reason}")
        # Without a firewall of ours, what listens is open as far as we can know.
        addresses = tuple(own)
        closed = closed_by(self._snapshot, door.port, addresses) if self._observes else None
        # With another port of ours, such a rule may be what leads here.
        taker = self._who_takes(HTTP_PORT, addresses) if door.port == HTTP_PORT else None
        if closed is None and taker is not None:
            closed = f"port {HTTP_PORT} does not lead to the ingress: {taker} takes it"
        return Door(door.port, closed)

    async def _look_up(self, host: str) -> Names:
        return await look_up(host, self._settings.upstreams)

    def _look_again(self, host: str) -> None:
        self._routing.look_again([host], self._snapshot)

    def _health_changed(self, endpoint: Endpoint, standing: Standing) -> None:
        self._is_judged.set()

    def _accept(self, scheme: Scheme, sock: socket.socket) -> Acceptor:
        return self.proxy.listen(sock) if scheme == "http" else self.proxy.listen_tls(sock)

    def _want_doors(self) -> None:
        routing = self._routing
        needed = self._settings.ports.needed(
            any_route=routing.has_routes, any_tls=routing.with_tls > 0
        )
        if self._doors.want(needed):
            self._look_soon()

    def _look_soon(self) -> None:
        self._is_settled.clear()
        self._wake.set()

    async def _use_certificates(self) -> None:
        self._has_new_certificates = False
        manual = manual_files(self._snapshot.routes.values())
        await self._certificates.use({**self._issued, **manual})
        await self._certificates.reload()

    async def _look_at_doors(self) -> None:
        self._doors.retry()
        if self._doors.refused:
            await asyncio.to_thread(self._doors.look_for_owners)
        self._announce()
        if self.ports != self._told:
            ports = self.ports
            try:
                await self._on_ports()
            except VoltError as error:
                log.error("the firewall does not follow the ports of the ingress: %s", error)
                return
            self._told = ports
            log.info("the ingress listens", extra={"fields": {"ports": ports}})

    def _announce(self) -> None:
        """Say which doors are refused and why, once, and which no longer are."""
        busy = {each.scheme: each for each in self.doors() if each.state == "busy"}
        for scheme, door in busy.items():
            if self._said.get(scheme) != door:
                log.warning("the ingress cannot have port %d: %s", door.port, door.reason)
                self._bus.publish(
                    Degraded(what=f"ingress port {door.port}", reason=door.reason or "")
                )
        for scheme, door in self._said.items():
            if scheme not in busy:
                self._bus.publish(Repaired(what=f"ingress port {door.port}", effective_ms=0.0))
        self._said = busy


def _limits() -> Limits:
    descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = affordable(descriptors)
    if limits.connections < Limits().connections:
        log.warning(
            "%d open files are allowed: the ingress takes %d connections, not %d (LimitNOFILE=)",
            descriptors,
            limits.connections,
            Limits().connections,
        )
    return limits


async def _nobody() -> None:
    pass
