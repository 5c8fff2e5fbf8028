"""Port forwards."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params

Transport = Literal["tcp", "udp"]
TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")
Status = Literal["active", "pending", "unreachable"]


class AddForward(Params, frozen=True):
    """A port or a range (`8000-8010`) of the host that leads to a workload.

    `target_port` is the first one of the target, or a range of the same length. `host_ip` None:
    all addresses of the host, 127.0.0.1 included.
    """

    host_port: str | int
    target: str
    target_port: str | int
    proto: Transport = "tcp"
    host_ip: str | None = None


class DeleteForward(Params, frozen=True):
    """None: whatever the forward has; refused where several match."""

    host_port: str | int
    proto: Transport | None = None
    host_ip: str | None = None


class Forward(Struct, frozen=True, kw_only=True):
    """A forward. `status` is "active", "pending" (the target does not run) or "unreachable" (it
    runs, but is on no network). `host_ip` None: all addresses of the host."""

    host_port: str
    target: str
    target_port: str
    proto: Transport
    status: Status
    host_ip: str | None = None


class AddedForward(Forward, frozen=True, kw_only=True):
    """`changed` is False when exactly this forward existed already."""

    changed: bool = True


ADD = Method("net.port.add", AddForward, AddedForward, "Forward a port of the host", changes=True)
DELETE = Method("net.port.delete", DeleteForward, Forward, "Delete a port forward", changes=True)
LIST = Method("net.port.list", Nothing, list[Forward], "List the port forwards")

METHODS = (ADD, DELETE, LIST)
