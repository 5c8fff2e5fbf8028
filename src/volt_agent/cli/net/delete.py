"""`volt net delete`, and `volt net bridge delete`, which is the same."""

from __future__ import annotations

import typer

from ...control.messages.network import DELETE, DeletedNetwork, NetworkName
from ...control.method import Method
from ..arguments import NameArgument, NameOption, one_name
from ..command import Command, command
from ..session import Session


def delete_command(method: Method[NetworkName, DeletedNetwork]) -> Command:
    """The command that calls `method`, which is net.delete under one name or another."""

    @command("delete", examples=(f"volt {method.name.replace('.', ' ')} backend",))
    def delete(
        ctx: typer.Context, name: NameArgument = None, name_option: NameOption = None
    ) -> None:
        """Delete a network that no workload is connected to, and its bridge."""
        session = Session.of(ctx)
        gone = session.call(method, NetworkName(name=one_name(name, name_option)))
        session.done(gone, f"network {gone.name} deleted")

    return delete


COMMAND = delete_command(DELETE)
