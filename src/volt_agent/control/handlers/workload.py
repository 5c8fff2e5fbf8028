"""ps"""

from __future__ import annotations

from ...registry import Registry
from ..messages import workload as messages
from ..method import Nothing
from . import Handlers
from .views import workload_names, workload_view


class WorkloadHandlers:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def handlers(self) -> Handlers:
        return {"ps": self.ps}

    async def ps(self, params: Nothing) -> list[messages.Workload]:
        snapshot = self._registry.snapshot
        return [workload_view(name, snapshot) for name in workload_names(snapshot)]
