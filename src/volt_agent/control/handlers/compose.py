"""compose.*"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from ...compose.file import check_project
from ...compose.plan import Around, Call, Plan, existing, plan, union
from ...errors import VoltError
from ...kernel.edge import Edge
from ...kernel.host import listening_ports
from ...model.project import Project
from ...model.route import IngressPorts
from ...model.snapshot import Change, Snapshot
from ...networks.decide import Surroundings
from ...networks.surroundings import surroundings
from ...registry import Registry
from ..messages import compose as messages
from . import Handlers


class ComposeHandlers:
    """`calls` are the handlers of all other groups; `ingress` tells the ports of the ingress."""

    def __init__(
        self,
        registry: Registry,
        edge: Edge,
        defaults: Surroundings,
        ingress: Callable[[], IngressPorts],
        calls: Handlers,
    ) -> None:
        self._registry, self._edge, self._defaults = registry, edge, defaults
        self._ingress, self._calls = ingress, calls
        self._one_at_a_time = asyncio.Lock()

    def handlers(self) -> Handlers:
        return {"compose.up": self.up, "compose.down": self.down}

    async def up(self, params: messages.Up) -> messages.Report:
        return await self._run(params, params.dry_run)

    async def down(self, params: messages.Down) -> messages.Report:
        return await self._run(messages.Wanted(name=params.name), params.dry_run)

    async def _run(self, wanted: messages.Wanted, dry_run: bool) -> messages.Report:
        check_project(wanted.name)
        async with self._one_at_a_time:
            around = await self._around()
            snapshot = self._registry.snapshot
            # Not on the loop: a thousand objects take a while, and a snapshot never changes.
            found = await asyncio.to_thread(plan, snapshot, around, wanted)
            planned = _report(found, [each.step for each in found.calls])
            return planned if dry_run else await self._carry_out(found, planned)

    async def _around(self) -> Around:
        listeners = await asyncio.to_thread(listening_ports, loopback=True)
        return Around(
            await surroundings(self._defaults, self._edge), tuple(listeners), self._ingress()
        )

    async def _carry_out(self, found: Plan, planned: messages.Report) -> messages.Report:
        """Claimed before they are made: a crash in between must not leave what nobody owns."""
        await self._registry.commit(lambda snapshot: _claim(snapshot, found.project))
        try:
            return await self._call_all(found, planned)
        finally:
            name = found.project.name
            await self._registry.commit(lambda snapshot: _settle(snapshot, name))

    async def _call_all(self, found: Plan, planned: messages.Report) -> messages.Report:
        steps = planned.steps
        for place, call in enumerate(found.calls):
            try:
                await self._call(call)
            except VoltError as error:
                steps[place] = replace(call.step, state="failed")
                return replace(planned, failure=error.message, hint=error.hint)
            steps[place] = replace(call.step, state="done")
        return planned

    async def _call(self, call: Call) -> None:
        await self._calls[call.method](call.params)


def _report(found: Plan, steps: list[messages.Step]) -> messages.Report:
    return messages.Report(
        project=found.project.name, changed=bool(steps), steps=steps, notes=[*found.notes]
    )


def _claim(snapshot: Snapshot, project: Project) -> Change:
    """With all that the project has and will have."""
    before = snapshot.projects.get(project.name)
    after = project if before is None else union(before, project)
    return Change() if after == before or after == Project(project.name) else Change(put=(after,))


def _settle(snapshot: Snapshot, name: str) -> Change:
    """Without what does not exist; nothing is left of a project that has nothing."""
    before = snapshot.projects.get(name)
    if before is None:
        return Change()
    after = existing(before, snapshot)
    if after == Project(name):
        return Change(delete=(before,))
    return Change() if after == before else Change(put=(after,))
