"""Networks, who is connected to them, and the state of the host's networking."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params

Kind = Literal["container", "vm"]
NetworkStatus = Literal["up", "degraded", "missing"]


class CreateNetwork(Params, frozen=True):
    """`subnet` (CIDR) None: the next free /24. `mtu` None: as configured. No `nat`: no way out."""

    name: str
    subnet: str | None = None
    mtu: int | None = None
    nat: bool = True
    port_security: bool = True


class NetworkName(Params, frozen=True):
    name: str


class Connect(Params, frozen=True):
    """None means: volt chooses, or for a connection that exists, leaves it as it is."""

    network: str
    workload: str
    ip: str | None = None
    mac: str | None = None
    kind: Kind | None = None
    port_security: bool | None = None


class Disconnect(Params, frozen=True):
    """`network` None: all networks of the workload."""

    workload: str
    network: str | None = None


class Network(Struct, frozen=True, kw_only=True):
    """A network. `connected` counts the workloads on it, running or not.

    `status` is "up" (present, admin up, as desired), "degraded" or "missing". `internal` is the
    opposite of `nat`: no masquerade and no way out.
    """

    name: str
    bridge: str
    subnet: str
    gateway: str
    mtu: int
    nat: bool
    internal: bool
    connected: int
    status: NetworkStatus
    port_security: bool = True


class CreatedNetwork(Network, frozen=True, kw_only=True):
    """`changed` is False when exactly this network existed already."""

    changed: bool = True


class DeletedNetwork(Struct, frozen=True, kw_only=True):
    name: str
    bridge: str


class Member(Struct, frozen=True, kw_only=True):
    """A workload on a network. `state` is the workload's own: running, stopped or pending."""

    name: str
    kind: Kind
    state: str
    ip: str | None = None
    mac: str | None = None
    interface: str | None = None


class NetworkDetail(Network, frozen=True, kw_only=True):
    """A network with everybody on it and everything that is wrong with it (sentences)."""

    workloads: list[Member] = []
    problems: list[str] = []


class Connection(Struct, frozen=True, kw_only=True):
    """A workload's place on a network, as connected.

    `state` is "attached", or "pending" until the workload starts. `interface` is the host's end.
    For a virtual machine `qemu` is a ready command line option and `libvirt` a ready XML snippet.
    `notes` are sentences on what was decided (such as a container that became a tap). `changed` is
    False when exactly this connection existed already.
    """

    network: str
    workload: str
    kind: Kind
    ip: str
    mac: str
    interface: str
    state: Literal["attached", "pending"]
    changed: bool = True
    qemu: str | None = None
    libvirt: str | None = None
    notes: list[str] = []


class Disconnected(Struct, frozen=True, kw_only=True):
    """`networks` are the names of those that the workload left."""

    workload: str
    networks: list[str]


class FirewallState(Struct, frozen=True, kw_only=True):
    """`state` is "loaded", "failed" or "absent". `settling` says that the host's inbound deny waits
    for conntrack to learn the running connections. `drops` counts the packets that the default
    policy dropped, by the reason.
    """

    state: str
    host_inbound: Literal["deny", "allow"]
    settling: bool = False
    drops: dict[str, int] = {}


class DnsState(Struct, frozen=True, kw_only=True):
    """`listening` are the addresses served; `counters` count queries since the start, by kind."""

    enabled: bool
    listening: list[str] = []
    upstreams: list[str] = []
    counters: dict[str, int] = {}


class ClosedPort(Struct, frozen=True, kw_only=True):
    """A port that something on the host listens on, and that outside may not reach."""

    protocol: str
    address: str
    port: int
    process: str | None = None


class Unconfirmed(Struct, frozen=True, kw_only=True):
    """A change that is rolled back at `deadline` (RFC 3339), `seconds_left` from now, unless it is
    confirmed."""

    change: str
    deadline: str
    seconds_left: float


class Counts(Struct, frozen=True, kw_only=True):
    """How many workloads there are by state, and how many objects of each kind users have made."""

    running: int = 0
    stopped: int = 0
    pending: int = 0
    rules: int = 0
    policies: int = 0
    forwards: int = 0
    routes: int = 0
    vlans: int = 0


class NetStatus(Struct, frozen=True, kw_only=True):
    """Everything about the host's networking that is worth a look in the morning.

    `forwarding` is net.ipv4.ip_forward. `problems` are sentences; none means all is well.
    `unconfirmed` is the change of the firewall rules that waits for its confirmation.
    """

    networks: list[Network]
    forwarding: bool
    firewall: FirewallState
    dns: DnsState
    counts: Counts = Counts()
    closed_ports: list[ClosedPort] = []
    problems: list[str] = []
    unconfirmed: Unconfirmed | None = None


CREATE = Method("net.create", CreateNetwork, CreatedNetwork, "Create a network", changes=True)
DELETE = Method("net.delete", NetworkName, DeletedNetwork, "Delete an unused network", changes=True)
LIST = Method("net.list", Nothing, list[Network], "List the networks")
INSPECT = Method("net.inspect", NetworkName, NetworkDetail, "Show one network and who is on it")
CONNECT = Method("net.connect", Connect, Connection, "Connect a workload", changes=True)
DISCONNECT = Method(
    "net.disconnect", Disconnect, Disconnected, "Disconnect a workload", changes=True
)
STATUS = Method("net.status", Nothing, NetStatus, "Show the state of the host's networking")
# A bridge is a network seen as a device: the same objects under the handbook's other name.
BRIDGE_CREATE = Method(
    "net.bridge.create", CreateNetwork, CreatedNetwork, "Create a network", changes=True
)
BRIDGE_DELETE = Method(
    "net.bridge.delete", NetworkName, DeletedNetwork, "Delete an unused network", changes=True
)
BRIDGE_LIST = Method("net.bridge.list", Nothing, list[Network], "List the networks")

METHODS = (
    CREATE,
    DELETE,
    LIST,
    INSPECT,
    CONNECT,
    DISCONNECT,
    STATUS,
    BRIDGE_CREATE,
    BRIDGE_DELETE,
    BRIDGE_LIST,
)
