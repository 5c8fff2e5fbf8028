"""Ports of others that may not be on a bridge of volt's: no firewall rule would hold them.

Either none can, because of the interface's name, or the workload's name is that of another port
there. Nothing would keep such a workload to an address. It is taken off the bridge, as often as
somebody puts it there: what cannot be guarded does not pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from ..firewall.quote import is_quotable
from ..kernel.edge import Edge
from ..kernel.ops import ReleasePort
from ..kernel.state import Link, Mirror
from ..model.network import Network
from .observe import foreign_name, is_foreign

log = logging.getLogger(__name__)


_NOT_QUOTABLE = "no firewall rule can hold its name"

# The interface of the port that has the name which a link would have; None if the link has it.
NamesakeOf = Callable[[Network, Link], str | None]


def unguardable(
    network: Network, mirror: Mirror, namesake_of: NamesakeOf
) -> Iterator[tuple[Link, str]]:
    """The ports of workloads that no rule would hold, and why, where ports are held to their
    addresses."""
    if not network.port_security:
        return
    for name in sorted(mirror.ports_of(network.bridge)):
        link = mirror.links[name]
        if not is_foreign(link):
            continue
        if not is_quotable(name):
            yield link, _NOT_QUOTABLE
        elif (namesake := namesake_of(network, link)) is not None:
            yield link, f"{namesake!r} is {foreign_name(link)} already"


class Strangers:
    """Turns them away, and remembers why for as long as they are there under that name."""

    def __init__(self, edge: Edge, namesake_of: NamesakeOf) -> None:
        self._edge, self._namesake_of = edge, namesake_of
        self._reasons: dict[Link, str] = {}

    async def turn_away(self, network: Network) -> None:
        """Take those of `network` off its bridge. Raises KernelRefused."""
        for link, why in [*unguardable(network, self._edge.mirror, self._namesake_of)]:
            await self._edge.execute([ReleasePort(name=link.name, index=link.index)])
            reason = (
                f"interface {link.name!r} was taken off {network.bridge}: {why}; "
                "rename it and attach it again"
            )
            log.error("%s", reason)
            self._reasons = {
                each: why for each, why in self._reasons.items() if self._is_here(each)
            }
            self._reasons[link] = reason

    @property
    def reasons(self) -> list[str]:
        """Why those that are still there were turned away."""
        return list(
            dict.fromkeys(why for link, why in self._reasons.items() if self._is_here(link))
        )

    def _is_here(self, link: Link) -> bool:
        present = self._edge.mirror.by_index.get(link.index)
        return present is not None and present.name == link.name
