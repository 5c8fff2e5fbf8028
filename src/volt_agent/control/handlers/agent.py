"""agent.*"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..messages import agent as messages
from ..method import Nothing
from . import Handlers


class AgentHandlers:
    """The composition root does both; it hands in how."""

    def __init__(
        self,
        reload: Callable[[], Awaitable[messages.Reloaded]],
        reset: Callable[[bool], Awaitable[messages.ResetReport]],
    ) -> None:
        self._reload, self._reset = reload, reset

    def handlers(self) -> Handlers:
        return {"agent.reload": self.reload, "agent.reset": self.reset}

    async def reload(self, params: Nothing) -> messages.Reloaded:
        return await self._reload()

    async def reset(self, params: messages.Reset) -> messages.ResetReport:
        return await self._reset(params.purge)
