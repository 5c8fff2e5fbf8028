"""`volt net list`"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...control.messages.network import LIST, Network
from ...control.method import Nothing
from ..command import command
from ..output import Column
from ..session import Session

COLUMNS: Sequence[Column[Network]] = (
    ("NAME", lambda each: each.name),
    ("BRIDGE", lambda each: each.bridge),
    ("SUBNET", lambda each: each.subnet),
    ("GATEWAY", lambda each: each.gateway),
    ("NAT", lambda each: each.nat),
    ("CONNECTED", lambda each: each.connected),
    ("STATUS", lambda each: each.status),
)


@command("list", examples=("volt net list", "volt net list -o json"))
def list_networks(ctx: typer.Context) -> None:
    """List the networks."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


COMMAND = list_networks
