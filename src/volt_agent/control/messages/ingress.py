"""The ingress: routes, and what becomes of requests."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params

TlsMode = Literal["off", "auto", "manual", "passthrough"]
TLS_MODES: tuple[TlsMode, ...] = ("off", "auto", "manual", "passthrough")
# "pending": the workload does not run, or the outside name has no address yet. "checking": its
# first health check is under way.
BackendState = Literal["healthy", "unhealthy", "checking", "pending"]


class CreateRoute(Params, frozen=True):
    """A route; see docs/ingress.md. Times in seconds, sizes in bytes.

    `hostname` None is any host. `backends` are `NAME:PORT`, `ADDRESS:PORT` or `HOST:PORT`. `cert`
    and `key` are absolute paths of PEM files that the agent reads.
    """

    name: str
    backends: list[str]
    hostname: str | None = None
    path: str = "/"
    tls: TlsMode = "off"
    cert: str | None = None
    key: str | None = None
    timeout: float = 30.0
    drain: float = 30.0
    redirect: bool = True
    health_path: str | None = None
    body_limit: int | None = None
    hsts: int | None = None


class DeleteRoute(Params, frozen=True):
    """Which route; with `revoke` the CA is told that its automatic certificate is void."""

    name: str
    revoke: bool = False


class BackendView(Struct, frozen=True):
    """A backend as the user named it, and how it is. `reason` says why it gets no requests."""

    address: str
    status: BackendState
    reason: str | None = None


class Route(Struct, frozen=True, kw_only=True):
    """A route. `hostname` "*" is any host. `certificate` says in words how it is with it; None
    without TLS that ends here."""

    name: str
    hostname: str
    path: str
    backends: list[BackendView]
    tls: TlsMode
    timeout: float
    drain: float
    redirect: bool
    certificate: str | None = None
    health_path: str | None = None
    body_limit: int | None = None
    hsts: int | None = None


class CreatedRoute(Route, frozen=True, kw_only=True):
    """`changed` is False when exactly this route existed already. `warnings` are things to know."""

    changed: bool = True
    warnings: list[str] = []


class DeletedRoute(Route, frozen=True, kw_only=True):
    """A route that is gone. `revoked`: so is its certificate; False if there was none."""

    revoked: bool = False


class ListenerView(Struct, frozen=True):
    """A port of the ingress. "closed": no route needs it; "busy": `reason` names who has it."""

    port: int
    protocol: Literal["http", "https"]
    state: Literal["listening", "closed", "busy"]
    reason: str | None = None


class RouteFigures(Struct, frozen=True):
    """A route's live figures since the agent started. Latencies in milliseconds, of the last
    minutes; None without a request."""

    name: str
    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    tunnels: int = 0
    received: int = 0
    sent: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class IngressStatus(Struct, frozen=True, kw_only=True):
    """What `ingress status` shows. `uptime` in seconds."""

    listeners: list[ListenerView]
    routes: list[RouteFigures]
    connections: int = 0
    tunnels: int = 0
    requests: int = 0
    uptime: float = 0.0


class Reloaded(Struct, frozen=True):
    """What a reload of routes and certificates came to."""

    routes: int
    certificates: int = 0
    problems: list[str] = []


CREATE = Method(
    "ingress.create", CreateRoute, CreatedRoute, "Route a host name to workloads", changes=True
)
DELETE = Method("ingress.delete", DeleteRoute, DeletedRoute, "Delete a route", changes=True)
LIST = Method("ingress.list", Nothing, list[Route], "List the routes")
STATUS = Method("ingress.status", Nothing, IngressStatus, "Show how the ingress does")
RELOAD = Method(
    "ingress.reload", Nothing, Reloaded, "Read certificates again, check routes", changes=True
)

METHODS = (CREATE, DELETE, LIST, STATUS, RELOAD)
