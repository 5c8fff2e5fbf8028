"""`volt agent reset` of a running agent: asked for while it works, done when it has stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .control.messages.agent import ResetReport
from .firewall.plane import Firewall
from .kernel.edge import Edge
from .registry import Registry
from .store import Store


class Reset:
    """`stop` is set to end the agent's work; whoever has asked waits for the report."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop, self._purge = stop, False
        self._report: asyncio.Future[ResetReport] | None = None

    async def ask(self, purge: bool) -> ResetReport:
        """Stop working, take everything out of the kernel, say so, and end."""
        if self._report is None:
            self._purge = purge
            self._report = asyncio.get_running_loop().create_future()
            self._stop.set()
        return await asyncio.shield(self._report)

    @property
    def is_asked(self) -> bool:
        return self._report is not None

    async def carry_out(
        self, edge: Edge, firewall: Firewall, registry: Registry, store: Store, state_dir: Path
    ) -> None:
        """Once no part works any more. The control socket is still open, for the report."""
        from . import removal

        assert self._report is not None, "nobody has asked for a reset"
        snapshot = registry.snapshot
        report = await removal.remove_everything(
            edge,
            firewall,
            store,
            [*snapshot.former_settings.values()],
            snapshot.instances.values(),
        )
        if self._purge:
            await store.close()
            report = removal.without_store(report, state_dir)
        self._report.set_result(report)
        await asyncio.sleep(0)
