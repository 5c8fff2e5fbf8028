"""`/etc/volt/config.yaml`: read once at the start and again at every reload.

`load` returns a frozen `Config`, or raises `ConfigError` with every mistake of the file at once. An
absent file means the defaults; a file that is there is taken word for word or refused.

`document`   text -> plain values: the small part of YAML that a configuration needs
`readers`    one plain value -> the value for the schema (a subnet, an upstream, a range of ports)
`values`     what the agent works with where a key has a value of several parts
`schema`     the sections, each key beside its default and the reader of its value
`check`      walks schema and document together: plain values -> Config
`mistakes`   what is wrong, collected, in words
`load`       the file -> Config
`changes`    what differs between two configurations, and which of it needs a restart
"""

from __future__ import annotations

from .changes import Differences, differences
from .load import load, parse
from .mistakes import ConfigError
from .schema import (
    AcmeSection,
    Config,
    DhcpSection,
    DnsSection,
    Eab,
    FirewallSection,
    HealthSection,
    IngressSection,
    NetworkSection,
    StatusSection,
)
from .values import HostAllow, Listen, Upstream

__all__ = [
    "AcmeSection",
    "Config",
    "ConfigError",
    "DhcpSection",
    "Differences",
    "DnsSection",
    "Eab",
    "FirewallSection",
    "HealthSection",
    "HostAllow",
    "IngressSection",
    "Listen",
    "NetworkSection",
    "StatusSection",
    "Upstream",
    "differences",
    "load",
    "parse",
]
