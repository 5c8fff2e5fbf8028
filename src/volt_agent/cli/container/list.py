"""`volt container list`"""

from __future__ import annotations

import typer

from ...control.messages.container import LIST
from ...control.method import Nothing
from ..command import command
from ..ps import COLUMNS
from ..session import Session


@command("list", examples=("volt container list", "volt container list -o json"))
def list_containers(ctx: typer.Context) -> None:
    """List the containers. `volt ps` has the virtual machines, too."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


COMMAND = list_containers
