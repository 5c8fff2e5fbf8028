"""Everything that happens, as frozen values. No dicts on the bus.

Observations are fired by `kernel` and `runtimes`: they say what the world did, not what to do about
it. Outcomes are fired by the registry and the planes: they say what volt did, and when it took
effect. `volt events` shows the outcomes; `Event.name` is what it calls them.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from .model.network import Kind
from .model.workload import Instance


class Event(Struct, frozen=True, kw_only=True):
    """Base of all events. `name` is stable: users script against it."""

    name: ClassVar[str] = "event"


# ---- observations -------------------------------------------------------------------------------


class InstanceStarted(Event, frozen=True):
    """A runtime saw a workload start, or found it running.

    Fired once for each life; a second one with another identity means that the first has ended.
    `at` is the monotonic clock (seconds) when the runtime noticed it.
    """

    instance: Instance
    at: float


class InstanceStopped(Event, frozen=True):
    """A runtime saw a workload end. `at` as above."""

    instance: Instance
    at: float


class LinksChanged(Event, frozen=True):
    """The mirror of the kernel's links or addresses changed; `names` of the interfaces concerned.

    Fired after each batch of netlink messages, once the mirror is up to date. `resynced` says that
    messages were lost (ENOBUFS) and everything was read again.
    """

    names: frozenset[str]
    resynced: bool = False


class InsideChanged(Event, frozen=True):
    """Addresses, links or routes changed inside the namespace behind the port `interface`."""

    interface: str


class RulesetTampered(Event, frozen=True):
    """Somebody else changed one of volt's nftables tables; `by` is the process name, if known."""

    by: str


class SysctlChanged(Event, frozen=True):
    """The kernel announced a changed per-interface setting (RTM_NEWNETCONF), e.g. forwarding."""

    interface: str


# ---- outcomes -----------------------------------------------------------------------------------


class NetworkCreated(Event, frozen=True):
    """Fired when a network is stored and its bridge is up."""

    name: ClassVar[str] = "network.created"
    network: str
    bridge: str
    subnet: str


class NetworkDeleted(Event, frozen=True):
    """Fired when a network and its bridge are gone."""

    name: ClassVar[str] = "network.deleted"
    network: str


class WorkloadConnected(Event, frozen=True):
    """Fired when a connection is stored; the workload may still be stopped."""

    name: ClassVar[str] = "workload.connected"
    workload: str
    network: str
    address: str
    interface: str


class WorkloadDisconnected(Event, frozen=True):
    """Fired when a connection is gone from the store, DNS and the kernel."""

    name: ClassVar[str] = "workload.disconnected"
    workload: str
    network: str


class WorkloadForgotten(Event, frozen=True):
    """Fired when a stopped workload, its connections and its addresses are out of the store."""

    name: ClassVar[str] = "workload.forgotten"
    workload: str


class WorkloadStarted(Event, frozen=True):
    """Fired when a start has taken effect on every plane: link, address, firewall and names.

    `effective_ms` counts from the runtime's notice; `planes_ms` has each plane's own share.
    """

    name: ClassVar[str] = "workload.started"
    workload: str
    kind: Kind
    runtime: str
    networks: dict[str, str]
    effective_ms: float
    planes_ms: dict[str, float]


class WorkloadStopped(Event, frozen=True):
    """Fired when a stopped workload is out of DNS and its port is gone."""

    name: ClassVar[str] = "workload.stopped"
    workload: str
    effective_ms: float


class PortSeen(Event, frozen=True):
    """Fired when a port that volt did not make appears on one of its bridges."""

    name: ClassVar[str] = "port.seen"
    interface: str
    network: str
    workload: str


class Repaired(Event, frozen=True):
    """Fired when something that was changed from outside is as desired again."""

    name: ClassVar[str] = "repaired"
    what: str
    effective_ms: float


class Degraded(Event, frozen=True):
    """Fired when something desired cannot be reached; it is tried again with a growing delay."""

    name: ClassVar[str] = "degraded"
    what: str
    reason: str


class NamesFlushed(Event, frozen=True):
    """Fired when the DNS caches were emptied by hand."""

    name: ClassVar[str] = "dns.flushed"
    entries: int


class LeaseGiven(Event, frozen=True):
    """Fired when DHCP has given an address: it is stored, and the port is bound to it."""

    name: ClassVar[str] = "lease.given"
    network: str
    workload: str
    address: str
    mac: str


class LeaseEnded(Event, frozen=True):
    """Fired when a lease was released or declined, has expired, or its port is gone."""

    name: ClassVar[str] = "lease.ended"
    network: str
    workload: str
    address: str
    why: str


class RuleAdded(Event, frozen=True):
    """Fired when a firewall rule is stored and in force."""

    name: ClassVar[str] = "rule.added"
    rule: str
    chain: str


class RuleDeleted(Event, frozen=True):
    """Fired when a firewall rule is gone from the store and the kernel."""

    name: ClassVar[str] = "rule.deleted"
    rule: str


class RulesConfirmed(Event, frozen=True):
    """Fired when a change of the rules that waited for it was confirmed."""

    name: ClassVar[str] = "rules.confirmed"
    change: str


class RulesRolledBack(Event, frozen=True):
    """Fired when a change of the rules was not confirmed in time and is undone."""

    name: ClassVar[str] = "rules.rolled-back"
    change: str


class PolicyCreated(Event, frozen=True):
    """Fired when a network policy is stored and in force."""

    name: ClassVar[str] = "policy.created"
    policy: str


class PolicyDeleted(Event, frozen=True):
    """Fired when a network policy is gone from the store and the kernel."""

    name: ClassVar[str] = "policy.deleted"
    policy: str


class ForwardAdded(Event, frozen=True):
    """Fired when a port forward is stored and in force; its target may still be stopped."""

    name: ClassVar[str] = "forward.added"
    forward: str


class ForwardDeleted(Event, frozen=True):
    """Fired when a port forward is gone from the store and the kernel."""

    name: ClassVar[str] = "forward.deleted"
    forward: str


class RouteCreated(Event, frozen=True):
    """Fired when a route of the ingress is stored and takes requests."""

    name: ClassVar[str] = "route.created"
    route: str


class RouteDeleted(Event, frozen=True):
    """Fired when a route of the ingress takes no more requests; some may still be in flight."""

    name: ClassVar[str] = "route.deleted"
    route: str


class AccountRegistered(Event, frozen=True):
    """Fired when a CA has made or confirmed the account that certificates are ordered with."""

    name: ClassVar[str] = "certificate.account"
    directory: str


class CertificateOrdered(Event, frozen=True):
    """Fired when the CA has accepted the order of a certificate; `attempt` counts from 1 since the
    last success."""

    name: ClassVar[str] = "certificate.ordered"
    host: str
    attempt: int


class CertificateChallenged(Event, frozen=True):
    """Fired when the CA has been told to fetch the answer to its challenge from port 80."""

    name: ClassVar[str] = "certificate.challenged"
    host: str


class CertificateIssued(Event, frozen=True):
    """Fired when the first certificate of a host is on disk and shown to new connections."""

    name: ClassVar[str] = "certificate.issued"
    host: str
    issuer: str
    serial: str
    not_after: datetime


class CertificateRenewed(Event, frozen=True):
    """Fired when another certificate has taken the place of a host's former one."""

    name: ClassVar[str] = "certificate.renewed"
    host: str
    issuer: str
    serial: str
    not_after: datetime


class CertificateFailed(Event, frozen=True):
    """Fired when no certificate was to be had; one that is there goes on to be used.

    `kind` is a short word for what failed, as in the metrics. `next_try` None: not by itself.
    """

    name: ClassVar[str] = "certificate.failed"
    host: str
    kind: str
    reason: str
    next_try: datetime | None


class CertificateSetAside(Event, frozen=True):
    """Fired when files of a certificate that cannot be used were moved away; `path` is where to."""

    name: ClassVar[str] = "certificate.set-aside"
    host: str
    path: str
    reason: str


class CertificateRevoked(Event, frozen=True):
    """Fired when the CA has revoked a certificate, and its files are gone."""

    name: ClassVar[str] = "certificate.revoked"
    host: str
    serial: str


OUTCOMES: tuple[type[Event], ...] = (
    NetworkCreated,
    NetworkDeleted,
    WorkloadConnected,
    WorkloadDisconnected,
    WorkloadForgotten,
    WorkloadStarted,
    WorkloadStopped,
    PortSeen,
    Repaired,
    Degraded,
    NamesFlushed,
    LeaseGiven,
    LeaseEnded,
    RuleAdded,
    RuleDeleted,
    RulesConfirmed,
    RulesRolledBack,
    PolicyCreated,
    PolicyDeleted,
    ForwardAdded,
    ForwardDeleted,
    RouteCreated,
    RouteDeleted,
    AccountRegistered,
    CertificateOrdered,
    CertificateChallenged,
    CertificateIssued,
    CertificateRenewed,
    CertificateFailed,
    CertificateSetAside,
    CertificateRevoked,
)
