"""`volt agent upgrade`"""

from __future__ import annotations

from typing import Annotated

import typer

from ...control.messages.agent import UPGRADE, Upgrade, Upgraded
from ..command import command
from ..session import Session

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", help="How long the new version may take until it is ready."
    ),
]
IfNewer = Annotated[
    bool,
    typer.Option("--if-newer", help="Do nothing if what is installed is what runs."),
]


@command("upgrade", examples=("volt agent upgrade", "volt agent upgrade --if-newer"))
def upgrade(ctx: typer.Context, timeout: Timeout = 30.0, if_newer: IfNewer = False) -> None:
    """Have the installed version take over from the one that runs; no connection is dropped.

    It reads the configuration anew, too. A new version that does not start, or does not understand
    what is stored, changes nothing: the agent goes on, and the reason is told.
    """
    session = Session.of(ctx)
    params = Upgrade(timeout=timeout, if_newer=if_newer)
    done = session.call(UPGRADE, params, timeout=timeout + WAIT)
    session.done(done, _text(done))


def _text(done: Upgraded) -> str:
    if not done.pid:
        return f"volt {done.version} is what runs"
    return (
        f"volt {done.version} has taken over: process {done.pid}, "
        f"generation {done.generation}, in {done.seconds:.1f} s"
    )


# What the hand-over itself may take after the new version is ready, in seconds.
WAIT = 60.0
COMMAND = upgrade
