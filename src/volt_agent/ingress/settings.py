"""What the operator of a host decides about the ingress: what the plane needs of the
configuration."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from ..config import AcmeSection, Config, HealthSection
from ..model.route import USUAL_PORTS, IngressPorts

# Where automatic certificates are, below the state directory.
CERTIFICATES_NAME = "certs"


class IngressSettings(Struct, frozen=True):
    """See `config.schema.IngressSection`. Times in seconds. `upstreams` are asked for the addresses
    of backends outside volt and of hosts that get certificates."""

    ports: IngressPorts = USUAL_PORTS
    stop_timeout: float = 5.0
    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    health: HealthSection = HealthSection()
    access_log: str | None = None
    upstreams: tuple[str, ...] = ()
    acme: AcmeSection = AcmeSection()

    @classmethod
    def of(cls, config: Config, *, always: bool = False) -> IngressSettings:
        """`always`: listen whether there is a route or not."""
        section = config.ingress
        ports = IngressPorts(section.http_port, section.https_port, section.enabled, always)
        return cls(
            ports,
            section.stop_timeout,
            section.trusted_proxies,
            section.health,
            section.access_log,
            tuple(map(str, config.network.dns.upstream)),
            section.acme,
        )
