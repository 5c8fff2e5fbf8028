"""`volt net disconnect`"""

from __future__ import annotations

from typing import Annotated

import typer

from ...control.messages.network import DISCONNECT, Disconnect
from ..arguments import RequiredWorkload
from ..command import command
from ..complete import network_names
from ..session import Session

Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NETWORK",
        help="Only from this one. Default: all.",
        autocompletion=network_names,
    ),
]


@command(
    "disconnect",
    examples=("volt net disconnect api-server", "volt net disconnect api-server --network backend"),
)
def disconnect(ctx: typer.Context, workload: RequiredWorkload, network: Network = None) -> None:
    """Disconnect a workload from its networks, until it is connected again."""
    session = Session.of(ctx)
    gone = session.call(DISCONNECT, Disconnect(workload=workload, network=network))
    left = ", ".join(gone.networks) or "no network"
    session.done(gone, f"{gone.workload} disconnected from {left}")


COMMAND = disconnect
