"""`volt container inspect`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import typer

from ...control.messages.container import INSPECT, Interface, WorkloadDetail, WorkloadName
from ...control.messages.workload import Attachment
from ..arguments import RequiredWorkload
from ..command import command
from ..net import firewall, policy, port
from ..output import Column, bullets, fields, section, table
from ..session import Session

INTERFACES: Sequence[Column[Interface]] = (
    ("NAME", lambda each: each.name),
    ("MAC", lambda each: each.mac),
    ("UP", lambda each: each.up),
    ("ADDRESSES", lambda each: each.addresses),
)


@command("inspect", examples=("volt container inspect api-server",))
def inspect(ctx: typer.Context, workload: RequiredWorkload) -> None:
    """Show one workload, with the forwards, policies and rules about it."""
    session = Session.of(ctx)
    found = session.call(INSPECT, WorkloadName(name=workload))
    session.show(found, lambda: "".join(_parts(found, session.colour)))


def _parts(found: WorkloadDetail, colour: bool) -> Iterator[str]:
    facts = (
        ("Name", found.name),
        ("Kind", found.kind),
        ("Runtime", found.runtime),
        ("State", found.state),
        ("Leader", found.leader),
        ("Namespace", found.namespace),
        ("DNS names", found.names),
    )
    yield fields(facts, colour=colour)
    networks: Sequence[Column[Attachment]] = (
        ("NETWORK", lambda each: each.network),
        ("IP", lambda each: each.ip),
        ("MAC", lambda each: each.mac),
        ("INTERFACE", lambda each: each.interface),
        ("INSIDE", lambda each: found.inside.get(each.network)),
    )
    tables = (
        ("Networks", found.networks, networks),
        ("Interfaces inside", found.interfaces, INTERFACES),
        ("Port forwards", found.forwards, port.COLUMNS),
        ("Policies", found.policies, policy.COLUMNS),
        ("Firewall rules", found.rules, firewall.COLUMNS),
    )
    for title, rows, columns in tables:
        if rows:
            yield section(title, table(rows, columns))  # type: ignore[arg-type]
    yield bullets("Problems", found.problems)


COMMAND = inspect
