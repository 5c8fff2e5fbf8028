"""The parts of the agent as its control plane sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from .bus import Bus
from .control.event_log import EventLog
from .control.handlers import Cut
from .control.messages import agent as messages
from .dhcp.server import DhcpServer
from .dns.server import NameServer
from .firewall.plane import Firewall
from .kernel.edge import Edge
from .networks.decide import Surroundings
from .networks.reconcile import Reconciler
from .options import AgentOptions
from .registry import Registry

if TYPE_CHECKING:
    from .ingress.server import Ingress


class Parts(Struct, frozen=True, eq=False):
    """What the calls work on, and what only the agent itself knows.

    `began` is monotonic seconds; `is_up` is set once calls can be answered.
    """

    options: AgentOptions
    began: float
    registry: Registry
    edge: Edge
    bus: Bus
    events: EventLog
    firewall: Firewall
    reconciler: Reconciler
    names: NameServer
    dhcp: DhcpServer
    ingress: Ingress
    surroundings: Surroundings
    is_up: asyncio.Event
    state: Callable[[], messages.State]
    upstreams: Callable[[], list[str] | None]
    concerns: Callable[[], list[str]]
    enforces_policies: Callable[[], Awaitable[bool]]
    cut: Cut
    reload: Callable[[], Awaitable[messages.Reloaded]]
    reset: Callable[[bool], Awaitable[messages.ResetReport]]
    switch: Callable[[messages.Switch], Awaitable[messages.Switched]]
    upgrade: Callable[[messages.Upgrade], Awaitable[messages.Upgraded]]
    generation: int
    hand_over: Callable[[], messages.HandOver | None]
