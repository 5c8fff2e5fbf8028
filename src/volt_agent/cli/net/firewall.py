"""`volt net firewall`: rules about traffic, by address or by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from ...control.messages.firewall import (
    ACTIONS,
    ADD,
    CONFIRM,
    DELETE,
    FLUSH,
    LIST,
    PENDING,
    PROTOCOLS,
    AddedRule,
    AddRule,
    DeletedRules,
    DeleteRule,
    FlushRules,
    Rule,
)
from ...control.messages.network import Unconfirmed
from ...control.method import Nothing
from ..arguments import NameOption, NewNameOption, one_name, one_of
from ..command import Group, command
from ..complete import dest_names, rule_names, source_names
from ..output import Column
from ..session import Session

COLUMNS: Sequence[Column[Rule]] = (
    ("NAME", lambda each: each.name),
    ("SOURCE", lambda each: each.source),
    ("DEST", lambda each: each.dest),
    ("PORTS", lambda each: each.ports),
    ("PROTO", lambda each: each.proto),
    ("ACTION", lambda each: each.action),
    ("CHAIN", lambda each: each.chain),
    ("PACKETS", lambda each: each.packets),
)

RuleName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The rule.", autocompletion=rule_names)
]
Source = Annotated[
    str,
    typer.Option(
        metavar="FROM",
        help="any, outside, an address or subnet, a workload or a network.",
        autocompletion=source_names,
    ),
]
Dest = Annotated[
    str,
    typer.Option(
        metavar="TO",
        help="any (workload), host, an address or subnet, a workload or a network.",
        autocompletion=dest_names,
    ),
]
PortOption = Annotated[
    str | None,
    typer.Option(metavar="PORTS", help="As 80,443,8000-8010; behind a forward the target's."),
]
ProtoOption = Annotated[
    str | None,
    typer.Option(
        metavar="tcp|udp|icmp|any",
        help="Default: tcp with --port, else any.",
        autocompletion=lambda: [*PROTOCOLS],
    ),
]
ActionOption = Annotated[
    str,
    typer.Option(
        metavar="accept|drop|reject",
        help="The first rule that matches decides.",
        autocompletion=lambda: [*ACTIONS],
    ),
]
ConfirmOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Roll it back unless `volt net firewall confirm` follows in time, as 30s.",
    ),
]


@command(
    "add",
    examples=(
        "volt net firewall add --name allow-http --source any --dest 10.0.0.5 "
        "--port 80,443 --proto tcp --action accept",
        "volt net firewall add --name lab --source 198.51.100.0/24 --dest host --port 22 "
        "--action drop --confirm 30s",
    ),
)
def add(
    ctx: typer.Context,
    name: NewNameOption,
    source: Source,
    dest: Dest,
    action: ActionOption,
    port: PortOption = None,
    proto: ProtoOption = None,
    confirm: ConfirmOption = None,
) -> None:
    """Add a rule behind the others. The chain follows from the destination.

    Adding exactly the same rule again succeeds and changes nothing.
    """
    wanted = AddRule(
        name=name,
        source=source,
        dest=dest,
        action=one_of("--action", action, ACTIONS),
        port=port,
        proto=one_of("--proto", proto, PROTOCOLS) if proto is not None else None,
        confirm=confirm,
    )
    session = Session.of(ctx)
    made = session.call(ADD, wanted)
    session.done(made, "\n".join(_added(made)))


@command(
    "delete", examples=("volt net firewall delete allow-http", "volt net firewall delete --name x")
)
def delete(
    ctx: typer.Context,
    name: RuleName = None,
    name_option: NameOption = None,
    confirm: ConfirmOption = None,
) -> None:
    """Delete a rule. Connections that only it allowed are cut."""
    session = Session.of(ctx)
    gone = session.call(DELETE, DeleteRule(name=one_name(name, name_option), confirm=confirm))
    session.done(gone, "\n".join(_deleted(gone)))


@command("list", examples=("volt net firewall list", "volt net firewall list -o json"))
def list_rules(ctx: typer.Context) -> None:
    """List the rules in the order in which they are asked, then what is built in."""
    session = Session.of(ctx)
    rules = session.call(LIST, Nothing())
    # `-q` is for scripts, and those can do nothing with what is built in.
    only_own = session.quiet and session.format == "table"
    session.table([each for each in rules if not (only_own and each.builtin)], COLUMNS)
    waiting = session.call(PENDING, Nothing()).unconfirmed
    if waiting is not None:
        session.out.flush()
        print(f"note: unconfirmed: {waiting.change}; {deadline_text(waiting)}", file=session.err)


@command("flush", examples=("volt net firewall flush", "volt net firewall flush --confirm 1m"))
def flush(ctx: typer.Context, confirm: ConfirmOption = None) -> None:
    """Delete all rules. What is built in stays."""
    session = Session.of(ctx)
    gone = session.call(FLUSH, FlushRules(confirm=confirm))
    session.done(gone, "\n".join(_deleted(gone)))


@command("confirm", examples=("volt net firewall confirm",))
def confirm(ctx: typer.Context) -> None:
    """Keep the change that was made with --confirm."""
    session = Session.of(ctx)
    kept = session.call(CONFIRM, Nothing())
    session.done(kept, f"confirmed: {kept.change}")


def _added(made: AddedRule) -> Iterator[str]:
    ports = f" port {made.ports}" if made.ports != "any" else ""
    what = f"{made.action} {made.proto} from {made.source} to {made.dest}{ports}, in {made.chain}"
    if made.changed:
        yield f"rule {made.name} added: {what}"
    else:
        yield f"rule {made.name} exists already, unchanged: {what}"
    if made.unconfirmed is not None:
        yield deadline_text(made.unconfirmed)


def _deleted(gone: DeletedRules) -> Iterator[str]:
    if len(gone.deleted) == 1:
        yield f"rule {gone.deleted[0]} deleted"
    else:
        yield f"{len(gone.deleted) or 'no'} rules deleted"
    if gone.unconfirmed is not None:
        yield deadline_text(gone.unconfirmed)


def deadline_text(waiting: Unconfirmed) -> str:
    """When a change is rolled back, and how to keep it."""
    return (
        f"rolled back at {waiting.deadline} (in {waiting.seconds_left:.0f} s) "
        "unless `volt net firewall confirm` comes first"
    )


COMMAND = Group(
    "firewall",
    "Rules about traffic, by address or by name.",
    commands=(add, delete, list_rules, flush, confirm),
)
