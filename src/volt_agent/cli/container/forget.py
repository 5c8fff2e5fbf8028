"""`volt container forget`"""

from __future__ import annotations

import typer

from ...control.messages.workload import CONTAINER_FORGET, WorkloadName
from ..arguments import RequiredWorkload
from ..command import command
from ..session import Session


@command("forget", examples=("volt container forget api-server",))
def forget(ctx: typer.Context, workload: RequiredWorkload) -> None:
    """Forget a workload that will not come back, its connections and its addresses.

    It must be stopped, and no rule, policy or forward may name it. Works for virtual machines, too.
    """
    session = Session.of(ctx)
    gone = session.call(CONTAINER_FORGET, WorkloadName(name=workload))
    left = f", and disconnected from {', '.join(gone.networks)}" if gone.networks else ""
    session.done(gone, f"{gone.name} forgotten{left}")


COMMAND = forget
