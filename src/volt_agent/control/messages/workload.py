"""Workloads: what runs, and where it is attached."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing
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


PS = Method("ps", Nothing, list[Workload], "List all workloads")

METHODS = (PS,)
