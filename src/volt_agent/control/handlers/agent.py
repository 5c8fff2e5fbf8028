"""agent.*"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..messages import agent as messages
from ..method import Nothing
from . import Handlers


class AgentHandlers:
    """The composition root does all of it; it hands in how."""

    def __init__(
        self,
        reload: Callable[[], Awaitable[messages.Reloaded]],
        reset: Callable[[bool], Awaitable[messages.ResetReport]],
        switch: Callable[[messages.Switch], Awaitable[messages.Switched]],
        upgrade: Callable[[messages.Upgrade], Awaitable[messages.Upgraded]],
    ) -> None:
        self._reload, self._reset, self._switch = reload, reset, switch
        self._upgrade = upgrade

    def handlers(self) -> Handlers:
        return {
            "agent.reload": self.reload,
            "agent.reset": self.reset,
            "agent.switch": self.switch,
            "agent.upgrade": self.upgrade,
        }

    async def reload(self, params: Nothing) -> messages.Reloaded:
        return await self._reload()

    async def reset(self, params: messages.Reset) -> messages.ResetReport:
        return await self._reset(params.purge)

    async def switch(self, params: messages.Switch) -> messages.Switched:
        return await self._switch(params)

    async def upgrade(self, params: messages.Upgrade) -> messages.Upgraded:
        return await self._upgrade(params)
