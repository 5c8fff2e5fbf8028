"""`volt net create`, and `volt net bridge create`, which is the same."""

from __future__ import annotations

from typing import Annotated

import typer

from ...control.messages.network import CREATE, CreatedNetwork, CreateNetwork
from ...control.method import Method
from ..arguments import NameOption, NewNameArgument, PortSecurityOption, on_or_off, one_name
from ..command import Command, command
from ..session import Session

Subnet = Annotated[
    str | None,
    typer.Option(
        "--subnet", metavar="CIDR", help="Its addresses, as 10.30.0.0/24. Default: a free /24."
    ),
]
NoNat = Annotated[
    bool, typer.Option("--no-nat", help="No masquerade and no way out: an internal network.")
]
Mtu = Annotated[
    int | None,
    typer.Option(
        "--mtu", metavar="BYTES", help="Of the bridge and its ports. Default: as configured."
    ),
]


def create_command(method: Method[CreateNetwork, CreatedNetwork]) -> Command:
    """The command that calls `method`, which is net.create under one name or another."""
    path = "volt " + method.name.replace(".", " ")

    @command(
        "create",
        examples=(
            f"{path} backend",
            f"{path} --name backend --subnet 10.30.0.0/24",
            f"{path} internal --subnet 10.50.0.0/24 --no-nat",
        ),
    )
    def create(
        ctx: typer.Context,
        name: NewNameArgument = None,
        name_option: NameOption = None,
        subnet: Subnet = None,
        no_nat: NoNat = False,
        mtu: Mtu = None,
        port_security: PortSecurityOption = None,
    ) -> None:
        """Create a network: a bridge with a subnet, NAT and names.

        Creating exactly the same network again succeeds and changes nothing.
        """
        wanted = CreateNetwork(
            name=one_name(name, name_option),
            subnet=subnet,
            mtu=mtu,
            nat=not no_nat,
            port_security=on_or_off("--port-security", port_security) is not False,
        )
        session = Session.of(ctx)
        made = session.call(method, wanted)
        session.done(made, _sentence(made))

    return create


def _sentence(made: CreatedNetwork) -> str:
    what = f"bridge {made.bridge}, subnet {made.subnet}, gateway {made.gateway}"
    if not made.changed:
        return f"network {made.name} exists already, unchanged: {what}"
    return f"network {made.name} created: {what}"


COMMAND = create_command(CREATE)
