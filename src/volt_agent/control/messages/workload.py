"""Workloads: what runs, and where it is attached."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params
from .network import Kind

State = Literal["running", "stopped", "pending"]


class Attachment(Struct, frozen=True, kw_only=True):
    """A workload on one network; `interface` is the host's end. None where not known yet."""

    network: str
    ip: str | None = None
    mac: str | None = None
    interface: str | None = None


class Workload(Struct, frozen=True, kw_only=True):
    """A container or virtual machine. `runtime` is None until it was first seen running."""

    name: str
    kind: Kind
    runtime: str | None
    state: State
    networks: list[Attachment]


class WorkloadName(Params, frozen=True):
    name: str


class WorkloadDetail(Workload, frozen=True, kw_only=True):
    """`inside` maps a network to the interface that the workload sees; `names` are its DNS names;
    `namespace` and `leader` (a pid) only while it runs; `problems` are sentences."""

    inside: dict[str, str] = {}
    names: list[str] = []
    namespace: str | None = None
    leader: int | None = None
    problems: list[str] = []


class ForgottenWorkload(Struct, frozen=True, kw_only=True):
    """`networks` are the names of those that it was connected to."""

    name: str
    networks: list[str]


PS = Method("ps", Nothing, list[Workload], "List all workloads")
CONTAINER_LIST = Method("container.list", Nothing, list[Workload], "List the containers")
CONTAINER_INSPECT = Method(
    "container.inspect", WorkloadName, WorkloadDetail, "Show one workload in full"
)
CONTAINER_FORGET = Method(
    "container.forget",
    WorkloadName,
    ForgottenWorkload,
    "Forget a stopped workload, its connections and its addresses",
    changes=True,
)

METHODS = (PS, CONTAINER_LIST, CONTAINER_INSPECT, CONTAINER_FORGET)
