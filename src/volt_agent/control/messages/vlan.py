"""VLANs as uplinks of networks."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params

VlanStatus = Literal["up", "down", "missing"]


class CreateVlan(Params, frozen=True):
    """VLAN `id` (1 to 4094) of the host's interface `parent`; `network` None: of no bridge."""

    parent: str
    id: int
    network: str | None = None


class VlanName(Params, frozen=True):
    name: str


class Vlan(Struct, frozen=True, kw_only=True):
    """`name` is the device. `status` is "up", "down" (there, but it or its parent carries nothing)
    or "missing"; `problem` says why in a sentence."""

    name: str
    parent: str
    id: int
    network: str | None
    mtu: int | None
    status: VlanStatus
    problem: str | None = None


class CreatedVlan(Vlan, frozen=True, kw_only=True):
    """`changed` is False when exactly this VLAN existed already."""

    changed: bool = True


class DeletedVlan(Struct, frozen=True, kw_only=True):
    name: str


CREATE = Method(
    "net.vlan.create", CreateVlan, CreatedVlan, "Create a VLAN, as an uplink", changes=True
)
DELETE = Method("net.vlan.delete", VlanName, DeletedVlan, "Delete a VLAN", changes=True)
LIST = Method("net.vlan.list", Nothing, list[Vlan], "List the VLANs")

METHODS = (CREATE, DELETE, LIST)
