"""ingress.*"""

from __future__ import annotations

from typing import Any

import anyio

from ...bus import Bus
from ...errors import NotFound
from ...events import CertificateFailed, CertificateIssued, RouteCreated, RouteDeleted
from ...ingress.figures import RouteFigures
from ...ingress.server import Ingress
from ...ingress.tls import check_route
from ...model.route import Route
from ...registry import Registry
from ...rules.route import Asked, check_revocable, create_route, delete_route, parse_route
from ..messages import ingress as messages
from ..method import Nothing
from . import Handlers

# Seconds that a new route waits for the first word about its certificate. Most orders take longer.
VERDICT_WAIT = 0.5


class IngressHandlers:
    def __init__(self, registry: Registry, ingress: Ingress, bus: Bus) -> None:
        self._registry, self._ingress, self._bus = registry, ingress, bus

    def handlers(self) -> Handlers:
        return {
            "ingress.create": self.create,
            "ingress.delete": self.delete,
            "ingress.list": self.list,
            "ingress.status": self.status,
            "ingress.reload": self.reload,
        }

    async def create(self, params: messages.CreateRoute) -> messages.CreatedRoute:
        asked = asked_of(params)
        route = parse_route(asked, 0)  # before files are looked at
        warnings = await check_route(route)
        ports = self._ingress.settings.ports
        commit = await self._registry.commit(lambda snapshot: create_route(snapshot, asked, ports))
        changed = not commit.change.is_empty
        if changed:
            await self._ingress.settled()
            async with anyio.create_task_group() as looks:
                looks.start_soon(self._ingress.checked, route.name)
                looks.start_soon(self._first_verdict, route)
            self._bus.publish(RouteCreated(route=route.name))
        view = self._view(commit.new.routes[route.name])
        return messages.CreatedRoute(
            changed=changed, warnings=[*warnings, *self._ingress.port_problems()], **_fields(view)
        )

    async def delete(self, params: messages.DeleteRoute) -> messages.DeletedRoute:
        before = self._registry.snapshot.routes.get(params.name)
        view = self._view(before) if before is not None else None
        # First, so that a CA that cannot be reached leaves everything as it is.
        revoked = params.revoke and before is not None and await self._revoke(before)
        commit = await self._registry.commit(lambda snapshot: delete_route(snapshot, params.name))
        (gone,) = commit.change.delete
        assert isinstance(gone, Route)
        await self._ingress.settled()
        self._bus.publish(RouteDeleted(route=gone.name))
        view = view if view is not None else self._view(gone)
        return messages.DeletedRoute(revoked=revoked, **_fields(view))

    async def list(self, params: Nothing) -> list[messages.Route]:
        routes = self._registry.snapshot.routes.values()
        return [self._view(each) for each in sorted(routes, key=lambda each: each.sequence)]

    async def status(self, params: Nothing) -> messages.IngressStatus:
        found = await self._ingress.figures()
        return messages.IngressStatus(
            listeners=[
                messages.ListenerView(each.port, each.scheme, each.state, each.reason)
                for each in self._ingress.doors()
            ],
            routes=[_figures(each) for each in found.routes],
            connections=found.connections,
            tunnels=found.tunnels,
            requests=found.requests,
            uptime=round(found.uptime, 3),
        )

    async def reload(self, params: Nothing) -> messages.Reloaded:
        certificates, problems = await self._ingress.reload()
        return messages.Reloaded(
            routes=len(self._registry.snapshot.routes),
            certificates=certificates,
            problems=[*problems, *self._ingress.problems()],
        )

    async def _revoke(self, route: Route) -> bool:
        """Whether there was a certificate to revoke. Raises VoltError if it cannot be."""
        check_revocable(self._registry.snapshot, route)
        try:
            await self._ingress.automatic.revoke(route.hostname)
        except NotFound:
            return False
        return True

    async def _first_verdict(self, route: Route) -> None:
        """Wait a moment: what a look at DNS and ports finds is worth saying at once."""
        known = self._ingress.automatic.states().get(route.hostname)
        if known is None or known.state != "issuing":
            return
        news = self._bus.feed(CertificateFailed, CertificateIssued)
        with anyio.move_on_after(VERDICT_WAIT):
            async for event in news:
                if getattr(event, "host", None) == route.hostname:
                    break
        news.close()

    def _view(self, route: Route) -> messages.Route:
        backends = [
            messages.BackendView(str(each.backend), each.status, each.reason)
            for each in self._ingress.backends(route.name)
        ]
        return messages.Route(
            name=route.name,
            hostname=route.hostname,
            path=route.path,
            backends=backends,
            tls=route.tls,
            timeout=route.timeout,
            drain=route.drain,
            redirect=route.redirect,
            certificate=self._ingress.certificate(route),
            health_path=route.health_path,
            body_limit=route.body_limit,
            hsts=route.hsts,
        )


def asked_of(params: messages.CreateRoute) -> Asked:
    """The parameters in the words of the rules."""
    return Asked(
        name=params.name,
        backends=params.backends,
        hostname=params.hostname,
        path=params.path,
        tls=params.tls,
        certificate=params.cert,
        private_key=params.key,
        timeout=params.timeout,
        drain=params.drain,
        redirect=params.redirect,
        health_path=params.health_path,
        body_limit=params.body_limit,
        hsts=params.hsts,
    )


def _figures(route: RouteFigures) -> messages.RouteFigures:
    return messages.RouteFigures(
        name=route.name,
        requests=route.requests,
        errors=route.errors,
        in_flight=route.in_flight,
        tunnels=route.tunnels,
        received=route.received,
        sent=route.sent,
        p50_ms=_ms(route.p50),
        p99_ms=_ms(route.p99),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 2)


def _fields(view: messages.Route) -> dict[str, Any]:
    return {name: getattr(view, name) for name in messages.Route.__struct_fields__}
