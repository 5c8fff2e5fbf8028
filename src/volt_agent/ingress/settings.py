"""What the operator of a host decides about the ingress: the section of the configuration as the
plane needs it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from ..config import HealthSection, IngressSection
from ..model.route import USUAL_PORTS, IngressPorts


class IngressSettings(Struct, frozen=True):
    """See `config.schema.IngressSection`. Times in seconds."""

    ports: IngressPorts = USUAL_PORTS
    stop_timeout: float = 5.0
    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    health: HealthSection = HealthSection()

    @classmethod
    def of(cls, section: IngressSection, *, always: bool = False) -> IngressSettings:
        """`always`: listen whether there is a route or not."""
        ports = IngressPorts(section.http_port, section.https_port, section.enabled, always)
        return cls(ports, section.stop_timeout, section.trusted_proxies, section.health)
