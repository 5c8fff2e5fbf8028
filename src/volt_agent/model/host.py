"""What the host itself lets in, and what it was set to before volt came."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Protocol = Literal["tcp", "udp"]


class HostPort(Struct, frozen=True, order=True):
    """A port of the host, or a range of them (`first`..`last`)."""

    protocol: Protocol
    first: int
    last: int


class HostPolicy(Struct, frozen=True):
    """The resolved form of `network.firewall` in the configuration.

    `inbound` "allow" leaves the host's own traffic alone. `settling` is True during the first
    seconds after hooks were loaded on a live host: conntrack learns the running flows and nothing
    of the host's is denied yet.
    """

    inbound: Literal["deny", "allow"] = "deny"
    ports: tuple[HostPort, ...] = ()
    interfaces: tuple[str, ...] = ()
    ping: bool = False
    settling: bool = False

    @property
    def key(self) -> str:
        return "host"


class FormerSetting(Struct, frozen=True):
    """A sysctl (`name`, with dots) as it was before volt changed it, for `volt agent reset`.

    `boot` is the kernel's boot id: after another boot the value is the host's own again.
    """

    name: str
    value: str
    boot: str

    @property
    def key(self) -> str:
        return self.name


class TunedSetting(Struct, frozen=True):
    """A sysctl (`name`, with dots) that a user has set through volt, and its value before.

    `kept` is the value for every boot; None: what was set lasts until the next one, and `boot` is
    the kernel's boot id at that time.
    """

    name: str
    former: str
    boot: str
    kept: str | None = None

    @property
    def key(self) -> str:
        return self.name

    def is_in_force(self, boot: str) -> bool:
        """Whether it says something about the boot with the id `boot`."""
        return self.kept is not None or self.boot == boot
