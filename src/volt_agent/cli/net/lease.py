"""`volt net lease`: the addresses that DHCP has given."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...control.messages.lease import LIST, Lease
from ...control.method import Nothing
from ..command import Group, command
from ..output import Column
from ..session import Session

COLUMNS: Sequence[Column[Lease]] = (
    ("IP", lambda each: each.ip),
    ("MAC", lambda each: each.mac),
    ("NAME", lambda each: each.name or f"(behind {each.behind})"),
    ("NETWORK", lambda each: each.network),
    ("EXPIRES", lambda each: each.expires),
)


@command("list", examples=("volt net lease list", "volt net lease list -o json"))
def list_leases(ctx: typer.Context) -> None:
    """List the addresses that DHCP has given, and until when."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


COMMAND = Group("lease", "The addresses that DHCP has given.", commands=(list_leases,))
