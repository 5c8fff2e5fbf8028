"""Ports of others that may not be on a bridge of volt's: no firewall rule can hold their names.

Nothing would keep such a workload to an address. It is taken off the bridge, as often as somebody
puts it there: what cannot be guarded does not pass.
"""

from __future__ import annotations

import logging

from ..firewall.quote import is_quotable
from ..kernel.edge import Edge
from ..kernel.ops import ReleasePort
from ..kernel.state import Link, Mirror
from ..model.network import Network
from .observe import is_foreign

log = logging.getLogger(__name__)


def unguardable(network: Network, mirror: Mirror) -> list[Link]:
    """The ports of workloads that no rule can name, where ports are held to their addresses."""
    if not network.port_security:
        return []
    ports = (mirror.links[name] for name in sorted(mirror.ports_of(network.bridge)))
    return [each for each in ports if is_foreign(each) and not is_quotable(each.name)]


class Strangers:
    """Turns them away, and remembers why for as long as they are there under that name."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._reasons: dict[Link, str] = {}

    async def turn_away(self, network: Network) -> None:
        """Take those of `network` off its bridge. Raises KernelRefused."""
        for link in unguardable(network, self._edge.mirror):
            await self._edge.execute([ReleasePort(name=link.name, index=link.index)])
            reason = (
                f"interface {link.name!r} was taken off {network.bridge}: no firewall rule can hold"
                " its name; rename it and attach it again"
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
