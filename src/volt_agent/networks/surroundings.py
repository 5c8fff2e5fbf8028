"""What decisions about networks must know of the host: the configuration, and the kernel now."""

from __future__ import annotations

from ..kernel.edge import Edge
from ..model.names import ALIAS_PREFIX
from .decide import Surroundings


async def surroundings(defaults: Surroundings, edge: Edge) -> Surroundings:
    """The configured defaults with what the kernel has at present."""
    foreign = {
        name for name, link in edge.mirror.links.items() if not link.alias.startswith(ALIAS_PREFIX)
    }
    return Surroundings(
        default_bridge=defaults.default_bridge,
        default_subnet=defaults.default_subnet,
        default_mtu=defaults.default_mtu,
        routes=await edge.routes(),
        devices=foreign,
    )
