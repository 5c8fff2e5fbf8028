"""`volt net port`: ports of the host that lead to workloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ...control.messages.port import (
    ADD,
    DELETE,
    LIST,
    TRANSPORTS,
    AddForward,
    DeleteForward,
    Forward,
)
from ...control.method import Nothing
from ..arguments import one_of
from ..command import Group, command
from ..complete import workload_names
from ..output import Column
from ..session import Session

COLUMNS: Sequence[Column[Forward]] = (
    ("HOST-PORT", lambda each: each.host_port if each.host_ip is None else _place(each)),
    ("TARGET", lambda each: each.target),
    ("TARGET-PORT", lambda each: each.target_port),
    ("PROTO", lambda each: each.proto),
    ("STATUS", lambda each: each.status),
)

HostPort = Annotated[
    str, typer.Option("--host-port", metavar="PORT", help="A port, or a range as 8000-8010.")
]
Target = Annotated[
    str, typer.Option(metavar="WORKLOAD", help="The workload.", autocompletion=workload_names)
]
TargetPort = Annotated[
    str,
    typer.Option("--target-port", metavar="PORT", help="The first one, or a range as long."),
]
Proto = Annotated[
    str | None,
    typer.Option("--proto", metavar="tcp|udp", autocompletion=lambda: [*TRANSPORTS]),
]
HostIp = Annotated[
    str | None,
    typer.Option("--host-ip", metavar="ADDRESS", help="One address of the host. Default: all."),
]


@command(
    "add",
    examples=(
        "volt net port add --host-port 80 --target web-frontend --target-port 80",
        "volt net port add --host-port 8000-8010 --target web --target-port 9000 --proto udp",
        "volt net port add --host-port 5432 --target db --target-port 5432 --host-ip 127.0.0.1",
    ),
)
def add(
    ctx: typer.Context,
    host_port: HostPort,
    target: Target,
    target_port: TargetPort,
    proto: Proto = "tcp",
    host_ip: HostIp = None,
) -> None:
    """Forward a port of the host to a workload.

    The target sees the client's own address. Forwarding exactly the same again changes nothing.
    """
    wanted = AddForward(
        host_port=host_port,
        target=target,
        target_port=target_port,
        proto=one_of("--proto", proto or "tcp", TRANSPORTS),
        host_ip=host_ip,
    )
    session = Session.of(ctx)
    made = session.call(ADD, wanted)
    done = "forwarded" if made.changed else "is forwarded already, unchanged,"
    note = {
        "active": "",
        "pending": f"\n{made.target} does not run yet",
        "unreachable": f"\n{made.target} is on no network: volt net connect NETWORK {made.target}",
    }[made.status]
    session.done(made, f"{_show(made, done)}{note}")


@command("delete", examples=("volt net port delete --host-port 80",))
def delete(
    ctx: typer.Context, host_port: HostPort, proto: Proto = None, host_ip: HostIp = None
) -> None:
    """Delete a forward. Connections through it are cut."""
    gone = DeleteForward(
        host_port=host_port,
        proto=one_of("--proto", proto, TRANSPORTS) if proto is not None else None,
        host_ip=host_ip,
    )
    session = Session.of(ctx)
    was = session.call(DELETE, gone)
    session.done(was, _show(was, "no longer forwarded"))


@command("list", examples=("volt net port list", "volt net port list -o json"))
def list_forwards(ctx: typer.Context) -> None:
    """List the port forwards."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


def _show(each: Forward, done: str) -> str:
    return f"port {_place(each)}/{each.proto} {done} to {each.target}:{each.target_port}"


def _place(each: Forward) -> str:
    return each.host_port if each.host_ip is None else f"{each.host_ip}:{each.host_port}"


COMMAND = Group(
    "port",
    "Ports of the host that lead to workloads.",
    commands=(add, delete, list_forwards),
)
