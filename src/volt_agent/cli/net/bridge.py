"""`volt net bridge`: networks, seen as the devices that they are."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...control.messages.network import BRIDGE_CREATE, BRIDGE_DELETE, BRIDGE_LIST, Network
from ...control.method import Nothing
from ..command import Group, command
from ..output import Column
from ..session import Session
from .create import create_command
from .delete import delete_command

COLUMNS: Sequence[Column[Network]] = (
    ("NAME", lambda each: each.name),
    ("SUBNET", lambda each: each.subnet),
    ("MTU", lambda each: each.mtu),
    ("CONNECTED", lambda each: each.connected),
    ("STATUS", lambda each: each.status),
)


@command("list", examples=("volt net bridge list",))
def list_bridges(ctx: typer.Context) -> None:
    """List the bridges."""
    session = Session.of(ctx)
    session.table(session.call(BRIDGE_LIST, Nothing()), COLUMNS)


COMMAND = Group(
    "bridge",
    "Networks, seen as the bridges that they are.",
    commands=(create_command(BRIDGE_CREATE), delete_command(BRIDGE_DELETE), list_bridges),
)
