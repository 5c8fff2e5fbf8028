"""Routes of the ingress: from a host name and a path to backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

TlsMode = Literal["off", "auto", "manual", "passthrough"]
# The side of the ingress that a route is on: requests in plain text, over TLS, or TLS untouched.
Side = Literal["plain", "tls", "passthrough"]

Scheme = Literal["http", "https"]

ANY_HOST = "*"  # the hostname of a default route


class Backend(Struct, frozen=True, order=True):
    """Where a route leads: a workload's name, an IPv4 address or an outside host name; and a port.

    A name without a dot is a workload's, whether it is known or not.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Route(Struct, frozen=True):
    """A route. `path` is a prefix on segment borders: `/v1` is not `/v10`.

    `hostname` is an exact name, `*.example.com` (one label or more in front), or ANY_HOST.
    `timeout` is how many seconds a backend may take until its answer's head; `drain` how many
    seconds requests in flight get once the route is deleted. `certificate` and `private_key` are
    paths of PEM files, for `tls` "manual" only. `redirect`: plain requests for the host of a route
    with TLS are sent to https. `body_limit` in bytes, None for none; `hsts` is the max-age in
    seconds of Strict-Transport-Security (RFC 6797), None for none. `health_path` None: a backend is
    healthy when it accepts connections.
    """

    name: str
    sequence: int
    hostname: str
    path: str
    backends: tuple[Backend, ...]
    tls: TlsMode = "off"
    certificate: str | None = None
    private_key: str | None = None
    timeout: float = 30.0
    drain: float = 30.0
    redirect: bool = True
    health_path: str | None = None
    body_limit: int | None = None
    hsts: int | None = None

    @property
    def key(self) -> str:
        return self.name

    @property
    def side(self) -> Side:
        if self.tls == "passthrough":
            return "passthrough"
        return "plain" if self.tls == "off" else "tls"


class IngressPorts(Struct, frozen=True):
    """The TCP ports of the host at which the ingress takes requests.

    `enabled` False: at none. `always`: also while there is no route.
    """

    http: int = 80
    https: int = 443
    enabled: bool = True
    always: bool = False

    def needed(self, *, any_route: bool, any_tls: bool) -> Mapping[Scheme, int]:
        """The ports that are needed if there is a route at all, and one with TLS in any form.
        Redirects and challenges need http, whatever the routes are."""
        if not self.enabled:
            return {}
        needed: dict[Scheme, int] = {}
        if any_route or self.always:
            needed["http"] = self.http
        if any_tls or self.always:
            needed["https"] = self.https
        return needed

    def needed_by(self, routes: Iterable[Route]) -> Mapping[Scheme, int]:
        """The ports that these routes need."""
        sides = {each.side for each in routes}
        return self.needed(any_route=bool(sides), any_tls=bool(sides - {"plain"}))


USUAL_PORTS = IngressPorts()
