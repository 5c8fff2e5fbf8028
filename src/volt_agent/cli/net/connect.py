"""`volt net connect`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

import typer

from ...control.messages.network import CONNECT, Connect, Connection, Kind
from ...errors import Invalid
from ..arguments import PortSecurityOption, RequiredNetwork, RequiredWorkload, on_or_off
from ..command import command
from ..session import Session

Ip = Annotated[
    str | None,
    typer.Option("--ip", metavar="ADDRESS", help="A fixed address. Default: a free one."),
]
Mac = Annotated[
    str | None,
    typer.Option("--mac", metavar="MAC", help="A fixed MAC. Default: one made of the names."),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="container|vm",
        help="What the workload is, if it was never seen: a vm gets a tap. Default: container.",
        autocompletion=lambda: ["container", "vm"],
    ),
]


@command(
    "connect",
    examples=(
        "volt net connect backend api-server",
        "volt net connect backend db-primary --kind vm",
        "volt net connect backend api-server --ip 10.30.0.10",
    ),
)
def connect(
    ctx: typer.Context,
    network: RequiredNetwork,
    workload: RequiredWorkload,
    ip: Ip = None,
    mac: Mac = None,
    kind: KindOption = None,
    port_security: PortSecurityOption = None,
) -> None:
    """Connect a workload to a network: a port, an address and names.

    One that does not run yet is attached when it starts. Connecting again changes nothing.
    """
    if kind not in (None, "container", "vm"):
        raise Invalid(f"--kind: expected container or vm, got {kind}")
    wanted = Connect(
        network=network,
        workload=workload,
        ip=ip,
        mac=mac,
        kind=cast("Kind | None", kind),
        port_security=on_or_off("--port-security", port_security),
    )
    session = Session.of(ctx)
    made = session.call(CONNECT, wanted)
    session.done(made, "\n".join(_lines(made)))


def _lines(made: Connection) -> Iterator[str]:
    done = "connected to" if made.changed else "is connected already, unchanged, to"
    place = f"{made.ip}, {made.mac}, interface {made.interface}"
    yield f"{made.workload} {done} {made.network}: {place}"
    if made.state == "pending":
        yield "it does not run yet: it is attached when it starts"
    yield from made.notes
    if made.qemu is not None:
        yield f"QEMU: {made.qemu}"
    if made.libvirt is not None:
        yield f"libvirt:\n{made.libvirt}"


COMMAND = connect
