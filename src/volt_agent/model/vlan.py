"""VLANs of the host's interfaces: the uplinks of bridges."""

from __future__ import annotations

from msgspec import Struct


class Vlan(Struct, frozen=True):
    """The device `name`, which carries VLAN `id` (IEEE 802.1Q, 1 to 4094) of interface `parent`.

    It is a port of the bridge of `network`, which then reaches what speaks that VLAN outside; None:
    of no bridge.
    """

    name: str
    parent: str
    id: int
    network: str | None = None

    @property
    def key(self) -> str:
        return self.name
