"""`volt net vlan`: VLANs of the host's interfaces, as uplinks of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ...control.messages.vlan import CREATE, DELETE, LIST, CreatedVlan, CreateVlan, Vlan, VlanName
from ...control.method import Nothing
from ...errors import Invalid
from ..command import Group, command
from ..complete import interface_names, network_names, vlan_names
from ..output import Column
from ..session import Session

COLUMNS: Sequence[Column[Vlan]] = (
    ("NAME", lambda each: each.name),
    ("PARENT", lambda each: each.parent),
    ("ID", lambda each: str(each.id)),
    ("NETWORK", lambda each: each.network or "-"),
    ("MTU", lambda each: str(each.mtu or "-")),
    ("STATUS", lambda each: f"{each.status}: {each.problem}" if each.problem else each.status),
)

_PARENT = typer.Option(
    "--parent",
    metavar="INTERFACE",
    help="The host's interface, as eth0.",
    autocompletion=interface_names,
)
_ID = typer.Option("--id", metavar="ID", help="Of the VLAN: 1 to 4094.")
Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NETWORK",
        help="Make it an uplink of this network.",
        autocompletion=network_names,
    ),
]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The VLAN, as eth0.100.", autocompletion=vlan_names),
]


@command(
    "create",
    examples=(
        "volt net vlan create --parent eth0 --id 100 --network backend",
        "volt net vlan create --parent eth0 --id 200",
    ),
)
def create(
    ctx: typer.Context,
    parent: Annotated[str, _PARENT],
    number: Annotated[int, _ID],
    network: Network = None,
) -> None:
    """Create a VLAN on an interface of the host, and make it the uplink of a network.

    Who speaks that VLAN outside is then on the network, in its subnet. Creating exactly the same
    VLAN again succeeds and changes nothing.
    """
    session = Session.of(ctx)
    made = session.call(CREATE, CreateVlan(parent=parent, id=number, network=network))
    session.done(made, _sentence(made))


def _sentence(made: CreatedVlan) -> str:
    deed = "created" if made.changed else "exists already, unchanged"
    uplink = f", uplink of network {made.network}" if made.network else ""
    state = made.status + (f" ({made.problem})" if made.problem else "")
    return f"VLAN {made.name} {deed}: {made.parent}, id {made.id}{uplink}; {state}"


@command("delete", examples=("volt net vlan delete eth0.100",))
def delete(
    ctx: typer.Context,
    name: Name = None,
    parent: Annotated[str | None, _PARENT] = None,
    number: Annotated[int | None, _ID] = None,
) -> None:
    """Delete a VLAN, by its name or by --parent and --id."""
    session = Session.of(ctx)
    gone = session.call(DELETE, VlanName(name=_name(session, name, parent, number)))
    session.done(gone, f"VLAN {gone.name} deleted")


def _name(session: Session, name: str | None, parent: str | None, number: int | None) -> str:
    if name is not None and parent is None and number is None:
        return name
    if name is not None or parent is None or number is None:
        raise Invalid("which VLAN?", "give NAME, or --parent INTERFACE and --id ID")
    for each in session.call(LIST, Nothing()):
        if (each.parent, each.id) == (parent, number):
            return each.name
    return f"{parent}.{number}"


@command("list", examples=("volt net vlan list", "volt net vlan list -o json"))
def list_vlans(ctx: typer.Context) -> None:
    """List the VLANs, and how they stand."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


COMMAND = Group(
    "vlan",
    "VLANs of the host's interfaces, as uplinks of networks.",
    commands=(create, delete, list_vlans),
)
