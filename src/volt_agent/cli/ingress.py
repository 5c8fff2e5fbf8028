"""`volt ingress`: from host names and paths to workloads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..control.messages.agent import STATUS as AGENT_STATUS
from ..control.messages.ingress import (
    CREATE,
    DELETE,
    LIST,
    RELOAD,
    STATUS,
    TLS_MODES,
    CreateRoute,
    DeleteRoute,
    IngressStatus,
    ListenerView,
    Route,
    RouteFigures,
)
from ..control.method import Nothing
from ..errors import AgentNotRunning, Invalid, Refused
from . import ingress_cert
from .agent.options import Config, Level, StateDir, agent_options
from .arguments import NameOption, NewNameOption, one_name, one_of
from .command import Group, command
from .complete import route_names
from .output import Column, counted, fields, in_short, section, table
from .session import Session

COLUMNS: Sequence[Column[Route]] = (
    ("NAME", lambda each: each.name),
    ("HOSTNAME", lambda each: each.hostname),
    ("PATH", lambda each: each.path),
    ("BACKENDS", lambda each: ", ".join(one.address for one in each.backends)),
    ("TLS", lambda each: each.tls),
    ("STATUS", lambda each: _state(each)),
    ("CERTIFICATE", lambda each: in_short(each.certificate)),
)
LISTENERS: Sequence[Column[ListenerView]] = (
    ("PORT", lambda each: each.port),
    ("PROTOCOL", lambda each: each.protocol),
    ("STATE", lambda each: each.state),
    ("REASON", lambda each: each.reason),
)
FIGURES: Sequence[Column[RouteFigures]] = (
    ("ROUTE", lambda each: each.name),
    ("REQUESTS", lambda each: each.requests),
    ("ERRORS", lambda each: each.errors),
    ("IN-FLIGHT", lambda each: each.in_flight),
    ("TUNNELS", lambda each: each.tunnels),
    ("P50-MS", lambda each: each.p50_ms),
    ("P99-MS", lambda each: each.p99_ms),
)

RouteArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The route.", autocompletion=route_names)
]
Hostname = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="app.example.com or *.example.com. Default: any host."),
]
Backends = Annotated[
    list[str],
    typer.Option(
        "--backend", metavar="NAME:PORT", help="A workload, an address or a host; may be repeated."
    ),
]
PathOption = Annotated[str, typer.Option(metavar="PATH", help="The beginning of the path.")]
Tls = Annotated[
    str,
    typer.Option(
        metavar="auto|manual|passthrough",
        help="auto: certificates by ACME. Default: no TLS.",
        autocompletion=lambda: [*TLS_MODES],
    ),
]
Cert = Annotated[
    str | None, typer.Option(metavar="FILE", help="The certificate and its chain, in PEM.")
]
Key = Annotated[str | None, typer.Option(metavar="FILE", help="Its private key, in PEM.")]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", help="How long a backend may take to answer.", show_default="30"
    ),
]
Drain = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="What requests get to end once the route is deleted.",
        show_default="30",
    ),
]
HealthPath = Annotated[
    str | None,
    typer.Option(
        "--health-path", metavar="PATH", help="Asked to see whether a backend is healthy."
    ),
]
NoRedirect = Annotated[
    bool, typer.Option("--no-redirect", help="Do not send plain requests to https.")
]
BodyLimit = Annotated[
    int | None, typer.Option("--body-limit", metavar="BYTES", help="Refuse longer requests.")
]
Hsts = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="Have browsers insist on https for so long."),
]
Revoke = Annotated[
    bool, typer.Option("--revoke", help="Have the CA revoke its automatic certificate, too.")
]
HttpPort = Annotated[
    int | None,
    typer.Option("--http-port", metavar="PORT", help="Default: ingress.http_port, 80."),
]
HttpsPort = Annotated[
    int | None,
    typer.Option("--https-port", metavar="PORT", help="Default: ingress.https_port, 443."),
]


@command(
    "create",
    examples=(
        "volt ingress create --name web --hostname app.example.com --backend web:8080",
        "volt ingress create --name api --hostname api.example.com --path /v1 --backend api:3000",
        "volt ingress create --name shop --hostname shop.example.com --backend shop:80 --tls auto",
    ),
)
def create(
    ctx: typer.Context,
    name: NewNameOption,
    backend: Backends,
    hostname: Hostname = None,
    path: PathOption = "/",
    tls: Tls = "off",
    cert: Cert = None,
    key: Key = None,
    timeout: Timeout = 30.0,
    drain: Drain = 30.0,
    health_path: HealthPath = None,
    no_redirect: NoRedirect = False,
    body_limit: BodyLimit = None,
    hsts: Hsts = None,
) -> None:
    """Route requests for a host name to workloads.

    Several backends share the requests. Creating exactly the same route again changes nothing.
    """
    wanted = CreateRoute(
        name=name,
        backends=backend,
        hostname=hostname,
        path=path,
        tls=one_of("--tls", tls, TLS_MODES),
        cert=_absolute(cert),
        key=_absolute(key),
        timeout=_seconds("--timeout", timeout),
        drain=_seconds("--drain", drain),
        redirect=not no_redirect,
        health_path=health_path,
        body_limit=body_limit,
        hsts=hsts,
    )
    session = Session.of(ctx)
    made = session.call(CREATE, wanted)
    done = "created" if made.changed else "exists already, unchanged"
    notes = [
        f"{each.address}: {each.status}" + (f" ({each.reason})" if each.reason else "")
        for each in made.backends
        if each.status != "healthy"
    ]
    if made.tls == "auto":
        ahead = "; volt ingress list shows how it goes" if made.certificate == "issuing" else ""
        notes.append(f"certificate: {made.certificate}{ahead}")
    notes += [f"warning: {each}" for each in made.warnings]
    session.done(made, "\n".join([f"route {made.name} {done}: {_place(made)}", *notes]))


@command("delete", examples=("volt ingress delete --name web", "volt ingress delete web --revoke"))
def delete(
    ctx: typer.Context,
    name: RouteArgument = None,
    name_option: NameOption = None,
    revoke: Revoke = False,
) -> None:
    """Delete a route. Requests in flight may end; see --drain of create.

    Its automatic certificate is kept, for a route that comes back, unless it is revoked.
    """
    session = Session.of(ctx)
    gone = session.call(DELETE, DeleteRoute(name=one_name(name, name_option), revoke=revoke))
    done = f"route {gone.name} deleted"
    if revoke:
        done += ", its certificate is revoked" if gone.revoked else "; it had no certificate"
    session.done(gone, done)


@command("list", examples=("volt ingress list", "volt ingress list -o json"))
def list_routes(ctx: typer.Context) -> None:
    """List the routes."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


@command("status", examples=("volt ingress status",))
def status(ctx: typer.Context) -> None:
    """Show the ports of the ingress and what its routes do."""
    session = Session.of(ctx)
    found = session.call(STATUS, Nothing())
    session.show(found, lambda: _status_text(found, session.colour))


@command("reload", examples=("volt ingress reload",))
def reload(ctx: typer.Context) -> None:
    """Read certificates again and check all routes. Connections go on undisturbed."""
    session = Session.of(ctx)
    done = session.call(RELOAD, Nothing())
    text = f"{counted(done.routes, 'route')}, {counted(done.certificates, 'certificate')}"
    session.done(done, "\n".join([text, *done.problems]))


@command(
    "serve",
    prints=False,
    examples=("volt ingress serve", "volt ingress serve --http-port 8080 --https-port 8443"),
)
def serve(
    ctx: typer.Context,
    http_port: HttpPort = None,
    https_port: HttpsPort = None,
    config: Config = None,
    state_dir: StateDir = None,
    log_level: Level = None,
) -> None:
    """Run only the ingress, in the foreground, until SIGTERM or Ctrl-C.

    For trying things out: no networks, names or firewall. Ports below 1024 need root.
    """
    session = Session.of(ctx)
    ports = _check_port("--http-port", http_port), _check_port("--https-port", https_port)
    if ports[0] is not None and ports[0] == ports[1]:
        raise Invalid(f"--http-port and --https-port are both {ports[0]}")
    _check_alone(session)
    options = agent_options(session, config, state_dir, log_level)
    from .. import serve

    raise typer.Exit(serve.run(options, serve.Ports(*ports)))


def _check_port(option: str, port: int | None) -> int | None:
    if port is not None and not 1 <= port <= 65535:
        raise Invalid(f"{option} {port} is not a port", "ports are 1 to 65535")
    return port


def _check_alone(session: Session) -> None:
    """Raises Refused if an agent answers: it has an ingress already."""
    try:
        running = session.call(AGENT_STATUS, Nothing())
    except AgentNotRunning:
        return
    raise Refused(
        f"an agent is running (process {running.pid}), and the ingress is part of it",
        f"its ports are ingress.http_port and ingress.https_port in {running.config}; then: "
        "volt agent reload",
    )


def _state(route: Route) -> str:
    healthy = sum(each.status == "healthy" for each in route.backends)
    if healthy == len(route.backends):
        return "healthy"
    if healthy:
        return f"{healthy}/{len(route.backends)} healthy"
    states = {each.status for each in route.backends}
    return states.pop() if len(states) == 1 else "unhealthy"


def _place(route: Route) -> str:
    host = "any host" if route.hostname == "*" else route.hostname
    return f"{host}{'' if route.path == '/' else route.path}"


def _status_text(found: IngressStatus, colour: bool) -> str:
    totals = fields(
        [
            ("Connections", found.connections),
            ("Tunnels", found.tunnels),
            ("Requests", found.requests),
        ],
        colour=colour,
    )
    ports = section("Listeners", table(found.listeners, LISTENERS, colour=colour))
    routes = section("Routes", table(found.routes, FIGURES, colour=colour))
    return totals + ports + routes


def _seconds(option: str, number: float) -> float:
    """JSON has no words for what is no number."""
    if not math.isfinite(number):
        raise Invalid(f"{option} {number} is out of range", "seconds, up to a day")
    return number


def _absolute(path: str | None) -> str | None:
    """Files are named from here, and read by the agent from elsewhere."""
    if path is None:
        return None
    if not path:
        raise Invalid("the path of a file is empty")
    return str(Path(path).absolute())


COMMAND = Group(
    "ingress",
    "From host names and paths to workloads: the HTTP and TLS proxy.",
    commands=(create, delete, list_routes, status, reload, serve, ingress_cert.COMMAND),
)
