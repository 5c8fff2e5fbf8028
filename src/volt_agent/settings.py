"""What each part of a running agent is told: the configuration in force, and the switches."""

from __future__ import annotations

from msgspec.structs import replace

from .config import Config, Differences, differences
from .dhcp.settings import DhcpSettings
from .dns.settings import DnsSettings
from .ingress.settings import IngressSettings
from .networks.decide import Surroundings
from .networks.ports import Resolver
from .switches import Switches


class Settings:
    """One for all parts. `take` goes over to another configuration; nobody else changes it."""

    def __init__(self, config: Config, switches: Switches) -> None:
        self.config, self.switches = config, switches

    def take(self, fresh: Config) -> Differences:
        """What differs. What only a restart can change stays as it is."""
        changes = differences(self.config, fresh)
        self.config = keep_for_restart(self.config, fresh)
        return changes

    @property
    def answers_names(self) -> bool:
        return self.config.network.dns.enabled and self.switches.is_on("dns")

    @property
    def leases_addresses(self) -> bool:
        return self.config.network.dhcp.enabled

    @property
    def dns(self) -> DnsSettings:
        section = self.config.network.dns
        return DnsSettings(
            upstreams=tuple((str(each.address), each.port) for each in section.upstream),
            search_domains=section.search_domains,
            forward_isolated=section.forward_isolated,
        )

    @property
    def upstreams(self) -> list[str] | None:
        """Of the name server, as configured; None: it is off."""
        section = self.config.network.dns
        return [str(each) for each in section.upstream] if section.enabled else None

    @property
    def dhcp(self) -> DhcpSettings:
        section = self.config.network
        return DhcpSettings(
            lease_time=section.dhcp.lease_time,
            names=section.dns.enabled,
            search_domains=section.dns.search_domains,
        )

    @property
    def ingress(self) -> IngressSettings:
        settings = IngressSettings.of(self.config)
        enabled = settings.ports.enabled and self.switches.is_on("ingress")
        return replace(settings, ports=replace(settings.ports, enabled=enabled))

    @property
    def resolver(self) -> Resolver:
        section = self.config.network.dns
        return Resolver(enabled=section.enabled, search_domains=section.search_domains)

    @property
    def surroundings(self) -> Surroundings:
        section = self.config.network
        return Surroundings(section.default_bridge, section.default_subnet, section.mtu)


def keep_for_restart(old: Config, new: Config) -> Config:
    """`new` with the keys that a running agent cannot change as they are in `old`."""
    network = replace(
        new.network,
        default_bridge=old.network.default_bridge,
        default_subnet=old.network.default_subnet,
        mtu=old.network.mtu,
        dns=replace(new.network.dns, enabled=old.network.dns.enabled),
        dhcp=replace(new.network.dhcp, enabled=old.network.dhcp.enabled),
    )
    return replace(new, network=network, status=old.status)
