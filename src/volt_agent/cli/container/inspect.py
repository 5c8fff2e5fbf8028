"""`volt container inspect`"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...control.messages.workload import (
    CONTAINER_INSPECT,
    Attachment,
    WorkloadDetail,
    WorkloadName,
)
from ..arguments import RequiredWorkload
from ..command import command
from ..output import Column, bullets, fields, section, table
from ..session import Session


@command("inspect", examples=("volt container inspect api-server",))
def inspect(ctx: typer.Context, workload: RequiredWorkload) -> None:
    """Show one workload: its addresses, interfaces, names and problems."""
    session = Session.of(ctx)
    found = session.call(CONTAINER_INSPECT, WorkloadName(name=workload))
    session.show(found, lambda: _text(found, session.colour))


def _text(found: WorkloadDetail, colour: bool) -> str:
    facts = (
        ("Name", found.name),
        ("Kind", found.kind),
        ("Runtime", found.runtime),
        ("State", found.state),
        ("Leader", found.leader),
        ("Namespace", found.namespace),
        ("DNS names", found.names),
    )
    columns: Sequence[Column[Attachment]] = (
        ("NETWORK", lambda each: each.network),
        ("IP", lambda each: each.ip),
        ("MAC", lambda each: each.mac),
        ("INTERFACE", lambda each: each.interface),
        ("INSIDE", lambda each: found.inside.get(each.network)),
    )
    text = fields(facts, colour=colour)
    if found.networks:
        text += section("Networks", table(found.networks, columns))
    return text + bullets("Problems", found.problems)


COMMAND = inspect
