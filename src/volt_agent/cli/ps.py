"""`volt ps`"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ..control.messages.workload import PS, Workload
from ..control.method import Nothing
from .command import command
from .output import Column
from .session import Session

COLUMNS: Sequence[Column[Workload]] = (
    ("NAME", lambda each: each.name),
    ("KIND", lambda each: each.kind),
    ("RUNTIME", lambda each: each.runtime),
    ("STATE", lambda each: each.state),
    ("NETWORK", lambda each: [place.network for place in each.networks]),
    ("IP", lambda each: [place.ip for place in each.networks]),
)


@command("ps", examples=("volt ps", "volt ps -o json"))
def ps(ctx: typer.Context) -> None:
    """List all workloads, running or not, and where they are connected."""
    session = Session.of(ctx)
    session.table(session.call(PS, Nothing()), COLUMNS)


COMMAND = ps
