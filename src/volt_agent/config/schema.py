"""The sections of the file: every key beside its default and the reader of its value.

A field whose type is another section is a nested mapping; every other field is annotated with a
reader (`readers`) or with `ListOf`. Names, defaults and meanings are fixed: users have files.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Annotated, Literal

from msgspec import Struct

from ..networks.decide import MTU_MAX, MTU_MIN
from . import readers
from .readers import Reader
from .values import HostAllow, Listen, Upstream


class ListOf(Struct, frozen=True):
    """Reads a list of at most `most` different items; `gather` makes the field's value of them."""

    item: Reader
    most: int
    gather: Callable[[tuple[object, ...]], object] = tuple


class Secret(Struct, frozen=True):
    """Reads a value that must not be shown, not even when it is wrong."""

    reader: Reader


class Section(Struct, frozen=True, kw_only=True):
    """Base of all sections."""


class DnsSection(Section, frozen=True):
    """`network.dns`. Without upstreams nothing but volt's own names is answered.

    `forward_isolated`: outside names are looked up also for workloads whose networks have no way
    out (`--no-nat`). Off by default: questions can carry data out, and answers carry data in.
    """

    enabled: Annotated[bool, readers.boolean] = True
    upstream: Annotated[tuple[Upstream, ...], ListOf(readers.upstream, 8)] = (
        Upstream(IPv4Address("1.1.1.1")),
        Upstream(IPv4Address("8.8.8.8")),
    )
    search_domains: Annotated[
        tuple[str, ...],
        ListOf(readers.search_domain, readers.SEARCH_DOMAINS_MAX, readers.search_list),
    ] = ("volt.local",)
    forward_isolated: Annotated[bool, readers.boolean] = False


class DhcpSection(Section, frozen=True):
    """`network.dhcp`. `lease_time` is in seconds; below a minute clients do nothing but renew."""

    enabled: Annotated[bool, readers.boolean] = True
    lease_time: Annotated[int, readers.integer(60, 30 * 86400)] = 3600


class FirewallSection(Section, frozen=True):
    """`network.firewall`: what the host itself lets in."""

    host_inbound: Annotated[Literal["deny", "allow"], readers.one_of("deny", "allow")] = "deny"
    host_allow: Annotated[HostAllow, ListOf(readers.allowed, 256, HostAllow.of)] = HostAllow(
        ssh=True
    )


class NetworkSection(Section, frozen=True):
    """`network`. `auto_connect` names the runtimes whose workloads join the default bridge."""

    default_bridge: Annotated[str, readers.bridge_name] = "volt0"
    default_subnet: Annotated[IPv4Network, readers.subnet] = IPv4Network("10.0.0.0/24")
    auto_connect: Annotated[
        tuple[Literal["machined", "netns"], ...], ListOf(readers.one_of("machined", "netns"), 2)
    ] = ("machined",)
    mtu: Annotated[int, readers.integer(MTU_MIN, MTU_MAX)] = 1500
    dns: DnsSection = DnsSection()
    dhcp: DhcpSection = DhcpSection()
    firewall: FirewallSection = FirewallSection()


class Eab(Section, frozen=True):
    """`ingress.acme.eab`: external account binding (RFC 8555, section 7.3.4)."""

    kid: Annotated[str, readers.token]
    hmac_key: Annotated[str, Secret(readers.mac_key)]

    def __repr__(self) -> str:
        return f"Eab(kid={self.kid!r}, hmac_key=...)"


LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


class AcmeSection(Section, frozen=True):
    """`ingress.acme`. `ca_bundle` is the path of a PEM file: the CA of the directory itself.

    `staging`: Let's Encrypt's CA for trying things out, which hardly limits anybody and which no
    browser trusts. Without it, `directory` counts.
    """

    directory: Annotated[str, readers.https_url] = LETS_ENCRYPT
    staging: Annotated[bool, readers.boolean] = False
    email: Annotated[str | None, readers.optional(readers.mail_address)] = None
    ca_bundle: Annotated[str | None, readers.optional(readers.absolute_path)] = None
    eab: Eab | None = None

    @property
    def url(self) -> str:
        """The directory that is in use."""
        return LETS_ENCRYPT_STAGING if self.staging else self.directory


class HealthSection(Section, frozen=True):
    """`ingress.health`. Seconds, and how many results in a row change a backend's state."""

    interval: Annotated[float, readers.seconds(0.1, 3600)] = 5.0
    timeout: Annotated[float, readers.seconds(0.1, 3600)] = 2.0
    rise: Annotated[int, readers.integer(1, 100)] = 1
    fall: Annotated[int, readers.integer(1, 100)] = 2


class IngressSection(Section, frozen=True):
    """`ingress`. `stop_timeout`: seconds that requests in flight get when the agent stops.
    `access_log`: "stderr" or a path, None for none."""

    enabled: Annotated[bool, readers.boolean] = True
    stop_timeout: Annotated[float, readers.seconds(0, 3600)] = 5.0
    http_port: Annotated[int, readers.integer(1, 65535)] = 80
    https_port: Annotated[int, readers.integer(1, 65535)] = 443
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], ListOf(readers.proxy_range, 256)
    ] = ()
    access_log: Annotated[str | None, readers.access_log] = None
    acme: AcmeSection = AcmeSection()
    health: HealthSection = HealthSection()


class StatusSection(Section, frozen=True):
    """`status`. `listen` None means over the control socket only."""

    listen: Annotated[Listen | None, readers.listen] = Listen("127.0.0.1", 9320)


class Config(Section, frozen=True):
    """The whole file."""

    network: NetworkSection = NetworkSection()
    ingress: IngressSection = IngressSection()
    status: StatusSection = StatusSection()
