"""Workloads: known by name for good, running now and then, each run with ports on bridges."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from msgspec import Struct

from .network import Kind

# Who tells volt that a workload runs: systemd-machined, a named namespace, a bridge port that
# somebody else attached, or the carrier of a tap that volt made.
Runtime = Literal["machined", "netns", "port", "tap"]
# `pending`: connected in advance and never seen.
State = Literal["running", "stopped", "pending"]


class Workload(Struct, frozen=True, gc=False):
    """A name that was seen or connected once. Kept in the store.

    `runtime` is None until it was first seen running; `detached` remembers an explicit disconnect,
    so that auto_connect leaves it alone.
    """

    name: str
    kind: Kind
    runtime: Runtime | None = None
    detached: bool = False

    @property
    def key(self) -> str:
        return self.name


class Instance(Struct, frozen=True, gc=False):
    """One run of a workload, observed. `identity` differs between two runs of one name.

    `namespace` is a path that can be opened to enter its network namespace (/run/netns/NAME,
    /proc/PID/ns/net); None for a virtual machine. `leader` is its first process, where known.
    """

    name: str
    kind: Kind
    runtime: Runtime
    identity: str
    namespace: str | None = None
    leader: int | None = None

    @property
    def key(self) -> str:
        return self.name


class Port(Struct, frozen=True, gc=False):
    """A bridge port in the kernel that belongs to a workload, observed.

    `interface` is the host's end; `inside` what the workload sees it as (None where unknown);
    `address` is None until one is known. `made` is False for a port that somebody else attached.
    Only a port that is `up` (enslaved, admin up, carrier) has names.
    """

    network: str
    workload: str
    interface: str
    ifindex: int
    up: bool
    made: bool = True
    inside: str | None = None
    address: IPv4Address | None = None
    mac: str | None = None

    @property
    def key(self) -> str:
        return f"{self.network}/{self.workload}"
