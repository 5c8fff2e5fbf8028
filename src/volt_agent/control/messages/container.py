"""Containers, and everything about one workload."""

from __future__ import annotations

from msgspec import Struct, field

from ..method import Method, Nothing, Params
from .firewall import Rule
from .policy import Policy
from .port import Forward
from .workload import Workload


class WorkloadName(Params, frozen=True):
    name: str


class Interface(Struct, frozen=True, kw_only=True):
    """An interface inside a running container, as it is there; `addresses` in CIDR form."""

    name: str
    mac: str
    up: bool
    addresses: list[str]


class WorkloadDetail(Workload, frozen=True, kw_only=True):
    """`inside` maps a network to the interface that the workload sees. `interfaces` are those of a
    running container, loopback apart. `names` are its DNS names. `forwards`, `policies` and `rules`
    are those that name it, a network of its or an address. `namespace` and `leader` (a pid) only
    while it runs; `problems` are sentences."""

    inside: dict[str, str] = field(default_factory=dict)
    interfaces: list[Interface] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    namespace: str | None = None
    leader: int | None = None
    problems: list[str] = field(default_factory=list)


class ForgottenWorkload(Struct, frozen=True, kw_only=True):
    """`networks` are the names of those that it was connected to."""

    name: str
    networks: list[str]


LIST = Method("container.list", Nothing, list[Workload], "List the containers")
INSPECT = Method("container.inspect", WorkloadName, WorkloadDetail, "Show one workload in full")

FORGET = Method(
    "container.forget",
    WorkloadName,
    ForgottenWorkload,
    "Forget a stopped workload, its connections and its addresses",
    changes=True,
)

METHODS = (LIST, INSPECT, FORGET)
