"""What users asked for: networks, and who is connected to them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from msgspec import Struct

Kind = Literal["container", "vm"]


class Network(Struct, frozen=True):
    """A bridge with a subnet. `nat` False means no masquerade and no way out."""

    name: str
    bridge: str
    subnet: IPv4Network
    gateway: IPv4Address
    mtu: int
    nat: bool = True
    port_security: bool = True

    @property
    def key(self) -> str:
        return self.name


class Connection(Struct, frozen=True, gc=False):
    """A workload's place on a network, whether it runs or not.

    `interface` is the host's end (`vc-NAME`, `vt-NAME`); `slot` orders the connections of one
    workload and names the inside (`eth<slot>`); `automatic` connections came from auto_connect and
    give way to an explicit one.
    """

    network: str
    workload: str
    kind: Kind
    address: IPv4Address
    mac: str
    interface: str
    slot: int
    port_security: bool = True
    automatic: bool = False

    @property
    def key(self) -> str:
        return f"{self.network}/{self.workload}"


class Reservation(Struct, frozen=True, gc=False):
    """An address and MAC kept for a (network, workload) that is not connected at present.

    `released` is the wall-clock time (seconds since the epoch) of the disconnect; when a subnet is
    full the oldest reservation is the first to go.
    """

    network: str
    workload: str
    address: IPv4Address
    mac: str
    released: float

    @property
    def key(self) -> str:
        return f"{self.network}/{self.workload}"
