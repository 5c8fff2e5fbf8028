"""`volt agent reload`"""

from __future__ import annotations

import typer

from ...control.messages.agent import RELOAD, Reloaded
from ...control.method import Nothing
from ..command import command
from ..session import Session


@command("reload", examples=("volt agent reload",))
def reload(ctx: typer.Context) -> None:
    """Make the agent read its configuration and certificates again."""
    session = Session.of(ctx)
    done = session.call(RELOAD, Nothing())
    session.done(done, _text(done))


def _text(done: Reloaded) -> str:
    lines = [f"changed: {', '.join(done.changed) or 'nothing'}"]
    if done.restart_needed:
        lines.append(f"needs a restart: {', '.join(done.restart_needed)}")
    return "\n".join(lines)


COMMAND = reload
