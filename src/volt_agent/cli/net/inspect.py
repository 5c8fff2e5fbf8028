"""`volt net inspect`"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...control.messages.network import INSPECT, Member, NetworkDetail, NetworkName
from ..arguments import NameArgument, NameOption, one_name
from ..command import command
from ..output import Column, bullets, fields, section, table
from ..session import Session

MEMBERS: Sequence[Column[Member]] = (
    ("NAME", lambda each: each.name),
    ("KIND", lambda each: each.kind),
    ("STATE", lambda each: each.state),
    ("IP", lambda each: each.ip),
    ("MAC", lambda each: each.mac),
    ("INTERFACE", lambda each: each.interface),
)


@command("inspect", examples=("volt net inspect backend", "volt net inspect backend -o yaml"))
def inspect(ctx: typer.Context, name: NameArgument = None, name_option: NameOption = None) -> None:
    """Show one network, who is connected to it, and what is wrong with it."""
    session = Session.of(ctx)
    network = session.call(INSPECT, NetworkName(name=one_name(name, name_option)))
    session.show(network, lambda: _text(network, session))


def _text(network: NetworkDetail, session: Session) -> str:
    colour = session.colour
    head = fields(
        (
            ("Name", network.name),
            ("Status", network.status),
            ("Bridge", network.bridge),
            ("Subnet", network.subnet),
            ("Gateway", network.gateway),
            ("MTU", network.mtu),
            ("NAT", network.nat),
            ("Port security", network.port_security),
            ("Connected", network.connected),
        ),
        colour=colour,
    )
    members = section("Workloads", table(network.workloads, MEMBERS, colour=colour))
    return (
        head
        + members * bool(network.workloads)
        + bullets("Problems", network.problems, session.width)
    )


COMMAND = inspect
