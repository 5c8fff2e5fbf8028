"""Routes of the ingress: what a user may ask for, and whom it would collide with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from ..errors import Invalid, Refused
from ..model.lookup import find, shortened
from ..model.names import check_name, is_label
from ..model.paths import normal
from ..model.ports import parse_range
from ..model.route import ANY_HOST, USUAL_PORTS, Backend, IngressPorts, Route, TlsMode
from ..model.snapshot import Change, Snapshot
from .firewall import next_sequence
from .forward import forward_of, show_forward
from .same import check_same

BACKENDS_MAX, PATH_MAX = 64, 1024
TIMEOUT_MAX = 86_400.0

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
# What a client may write in the path of a request (RFC 3986, section 3.3).
_PATH = re.compile(r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)+")
_FIELDS = {
    "hostname": "hostname",
    "path": "path",
    "backends": "backends",
    "tls": "tls",
    "certificate": "cert",
    "private_key": "key",
    "timeout": "timeout",
    "drain": "drain",
    "redirect": "redirect",
    "health_path": "health path",
    "body_limit": "body limit",
    "hsts": "hsts",
}


class Asked(Struct, frozen=True, kw_only=True):
    """A route as a user asks for it; see `model.route.Route` for what the words mean."""

    name: str
    backends: Sequence[str]
    hostname: str | None = None
    path: str = "/"
    tls: TlsMode = "off"
    certificate: str | None = None
    private_key: str | None = None
    timeout: float = 30.0
    drain: float = 30.0
    redirect: bool = True
    health_path: str | None = None
    body_limit: int | None = None
    hsts: int | None = None


def create_route(snapshot: Snapshot, asked: Asked, ports: IngressPorts = USUAL_PORTS) -> Change:
    """A new route. Repeating an identical one changes nothing; raises Invalid and Refused.

    Refused also if a port forward has one of the `ports` that it needs.
    """
    route = parse_route(asked, next_sequence(snapshot.routes.values()))
    existing = snapshot.routes.get(route.name)
    if existing is not None:
        same = replace(route, sequence=existing.sequence)
        check_same(f"route {route.name}", existing, same, _FIELDS)
        return Change()
    for other in snapshot.routes.values():
        if other.hostname == route.hostname:
            _check_neighbour(route, other)
    for port in ports.needed_by((route,)).values():
        forward = forward_of(snapshot, port)
        if forward is not None:
            raise Refused(
                f"port {port} of the host is taken: {show_forward(forward)}",
                f"volt net port delete --host-port {forward.ports} --proto tcp, or give the "
                "ingress another port (ingress.http_port, ingress.https_port)",
            )
    return Change(put=(route,))


def delete_route(snapshot: Snapshot, name: str) -> Change:
    """Without the route `name`. Raises NotFound."""
    return Change(delete=(find("route", name, snapshot.routes),))


def check_revocable(snapshot: Snapshot, route: Route) -> None:
    """Raises Refused unless `route` has an automatic certificate for itself."""
    if route.tls != "auto":
        raise Refused(
            f"route {route.name} has no automatic certificate to revoke",
            f"without --revoke: volt ingress delete --name {route.name}",
        )
    for other in snapshot.routes.values():
        if other.name != route.name and (other.tls, other.hostname) == ("auto", route.hostname):
            raise Refused(
                f"the certificate of {route.hostname} is also that of route {other.name}",
                "revoke it with the last route of that host; this one goes without --revoke",
            )


def parse_route(asked: Asked, sequence: int) -> Route:
    """The route that a user means. Raises Invalid, naming the option."""
    check_name("route", asked.name)
    _check_tls(asked)
    if not asked.backends:
        raise Invalid("a route needs a backend", "add --backend NAME:PORT")
    if len(asked.backends) > BACKENDS_MAX:
        raise Invalid(f"{len(asked.backends)} backends are too many", f"use {BACKENDS_MAX} at most")
    if not 0 < asked.timeout <= TIMEOUT_MAX:
        raise Invalid(f"--timeout {asked.timeout:g} is out of range", "seconds, up to a day")
    if not 0 <= asked.drain <= TIMEOUT_MAX:
        raise Invalid(f"--drain {asked.drain:g} is out of range", "seconds, up to a day")
    for option, number in (("--body-limit", asked.body_limit), ("--hsts", asked.hsts)):
        if number is not None and number < 0:
            raise Invalid(f"{option} {number} is negative")
    return Route(
        name=asked.name,
        sequence=sequence,
        hostname=parse_hostname(asked.hostname),
        path=_parse_path("--path", asked.path),
        backends=tuple(dict.fromkeys(map(parse_backend, asked.backends))),
        tls=asked.tls,
        certificate=asked.certificate,
        private_key=asked.private_key,
        timeout=float(asked.timeout),
        drain=float(asked.drain),
        redirect=asked.redirect,
        health_path=None
        if asked.health_path is None
        else _parse_path("--health-path", asked.health_path),
        body_limit=asked.body_limit,
        hsts=asked.hsts,
    )


def parse_hostname(text: str | None) -> str:
    """An exact host name, `*.` and one, or ANY_HOST for None. Raises Invalid."""
    if text is None or text == ANY_HOST:
        return ANY_HOST
    name = text.lower().removesuffix(".")
    if not _HOSTNAME.fullmatch(name.removeprefix("*.")):
        port = " (ports are those of the ingress)" if re.fullmatch(r"[^:]+:[0-9]+", text) else ""
        raise Invalid(
            f"--hostname {shortened(text)!r} is not a host name{port}",
            "write it as app.example.com or *.example.com; leave it out for any host",
        )
    return name


def parse_backend(text: str) -> Backend:
    """`NAME:PORT`, `192.0.2.1:PORT` or `outside.example:PORT`. Raises Invalid."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise Invalid(
            f"backend {shortened(text)!r} has no port", "write it as NAME:PORT, for example web:80"
        )
    ports = parse_range(port)
    if ports.count != 1:
        raise Invalid(f"backend {shortened(text)!r} has several ports", "one port for each backend")
    if _is_ipv6(host):
        raise Invalid(f"backend {shortened(text)!r} is IPv6", "backends are IPv4 for now")
    return Backend(_parse_backend_host(host, text), ports.first)


def place(route: Route) -> str:
    """`https://app.example.com/v1`: what two routes cannot share."""
    scheme = {"plain": "http://", "tls": "https://", "passthrough": "TLS for "}[route.side]
    return f"{scheme}{_host(route)}{'' if route.side == 'passthrough' else route.path}"


def _parse_backend_host(host: str, text: str) -> str:
    name = host.lower().removesuffix(".")
    if re.fullmatch(r"[0-9.]+", name):
        try:
            address = IPv4Address(name)
        except AddressValueError:
            raise Invalid(f"backend {shortened(text)!r} is not an address") from None
        if address.is_unspecified or address.is_multicast:
            raise Invalid(f"backend {shortened(text)!r} cannot be connected to")
        return str(address)
    if "." in name and _HOSTNAME.fullmatch(name):
        return name
    if not is_label(name):
        raise Invalid(
            f"backend {shortened(text)!r} is neither a workload nor a host",
            "workloads are named in lower case letters, digits and hyphens",
        )
    return name


def _parse_path(option: str, text: str) -> str:
    if len(text) > PATH_MAX:
        raise Invalid(f"{option} is longer than {PATH_MAX} characters")
    if not _PATH.fullmatch(text):
        hint = f"it begins with a slash: /{text}" if _PATH.fullmatch(f"/{text}") else ""
        raise Invalid(f"{option} {shortened(text)!r} is not a path", hint or "for example /v1")
    usual = normal(text.encode()).decode()
    if option == "--path" and text.rstrip("/") != usual.rstrip("/"):
        raise Invalid(f"--path {shortened(text)!r} is {usual} in other words", "write that")
    return text.rstrip("/") or "/" if option == "--path" else text


def _check_tls(asked: Asked) -> None:
    files = {"--cert": asked.certificate, "--key": asked.private_key}
    if asked.tls == "manual":
        for option, path in files.items():
            if path is None:
                raise Invalid(f"--tls manual needs {option}", "--cert FILE --key FILE (PEM)")
            if not PurePosixPath(path).is_absolute():
                raise Invalid(f"{option} {shortened(path)!r} is not an absolute path")
    elif any(path is not None for path in files.values()):
        raise Invalid("--cert and --key go with --tls manual")
    hostname = parse_hostname(asked.hostname)
    if asked.tls == "auto":
        _check_automatic(hostname)
    if asked.tls == "passthrough":
        _check_passthrough(asked, hostname)
    if asked.hsts is not None and asked.tls not in ("auto", "manual"):
        raise Invalid("--hsts goes with --tls auto or manual")


def _check_automatic(hostname: str) -> None:
    """Raises Invalid for hosts that no CA gives a certificate for over HTTP-01."""
    if hostname == ANY_HOST or hostname.startswith("*"):
        raise Invalid(
            "--tls auto needs one exact host name",
            "certificates for wildcards need a DNS challenge; use --tls manual",
        )
    if "_" in hostname or re.fullmatch(r"[0-9.]+", hostname):
        raise Invalid(
            f"--tls auto: CAs issue no certificate for {hostname}",
            "a host name of letters, digits and hyphens, for example app.example.com",
        )


def _check_passthrough(asked: Asked, hostname: str) -> None:
    if asked.path != "/":
        raise Invalid("--tls passthrough cannot see paths", "leave --path out")
    if hostname == ANY_HOST:
        raise Invalid("--tls passthrough needs a host name", "--hostname app.example.com")
    if asked.health_path is not None or asked.body_limit is not None:
        raise Invalid("--tls passthrough cannot see requests: no --health-path, no --body-limit")


def _check_neighbour(route: Route, other: Route) -> None:
    """Raises Refused if `route` cannot be beside `other`, which is for the same host."""
    remove = f"or: volt ingress delete --name {other.name}"
    if {other.side, route.side} == {"tls", "passthrough"}:
        raise Refused(
            f"TLS for {_host(route)} is taken by route {other.name}",
            f"TLS of a host either ends here or at its backend; {remove}",
        )
    if other.side != route.side:
        return
    if other.path == route.path:
        raise Refused(
            f"{place(route)} is taken by route {other.name}", f"choose another path, {remove}"
        )
    if _certificate(other) != _certificate(route):
        raise Refused(
            f"{_host(route)} has another certificate already, by route {other.name}",
            f"a host has one: {_certificate(other)}; {remove}",
        )


def _certificate(route: Route) -> str:
    """The options that say which certificate is shown for a route's host."""
    if route.tls != "manual":
        return f"--tls {route.tls}"
    return f"--tls manual --cert {route.certificate} --key {route.private_key}"


def _host(route: Route) -> str:
    return "any host" if route.hostname == ANY_HOST else route.hostname


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        return False
    return True
