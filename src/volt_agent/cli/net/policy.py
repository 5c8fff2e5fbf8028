"""`volt net policy`: who may talk to whom, and the question whether somebody may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ...control.messages.firewall import PROTOCOLS
from ...control.messages.policy import (
    ACTIONS,
    CREATE,
    DELETE,
    LIST,
    TEST,
    TESTED,
    AskPolicy,
    CreatedPolicy,
    CreatePolicy,
    Policy,
    PolicyAnswer,
    PolicyName,
)
from ...control.method import Nothing
from ..arguments import NameOption, NewNameOption, one_name, one_of
from ..command import Group, command
from ..complete import asker_names, end_names, policy_names, workload_names
from ..output import Column, lines
from ..session import Session

# docs/commands/volt.md, "Exit status".
DENIED = 5

COLUMNS: Sequence[Column[Policy]] = (
    ("NAME", lambda each: each.name),
    ("FROM", lambda each: each.source),
    ("TO", lambda each: each.target),
    ("PORT", lambda each: each.port),
    ("PROTO", lambda each: each.proto),
    ("ACTION", lambda each: each.action),
    ("PACKETS", lambda each: each.packets),
)

PolicyArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The policy.", autocompletion=policy_names)
]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="FROM", help="A workload or a network.", autocompletion=end_names
    ),
]
To = Annotated[
    str,
    typer.Option("--to", metavar="TO", help="A workload or a network.", autocompletion=end_names),
]
PortOption = Annotated[
    str | None, typer.Option(metavar="PORTS", help="As 80,443,8000-8010. Default: all.")
]
ProtoOption = Annotated[
    str | None,
    typer.Option(
        metavar="tcp|udp|icmp|any",
        help="Default: tcp with --port, else any.",
        autocompletion=lambda: [*PROTOCOLS],
    ),
]
ActionOption = Annotated[str, typer.Option(metavar="allow|deny", autocompletion=lambda: [*ACTIONS])]
Asker = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="FROM",
        help="host, outside, a workload, or an address outside.",
        autocompletion=asker_names,
    ),
]
Asked = Annotated[
    str,
    typer.Option(
        "--to", metavar="TO", help="A workload or an address.", autocompletion=workload_names
    ),
]
AskedPort = Annotated[str | None, typer.Option(metavar="PORT", help="For tcp and udp.")]
AskedProto = Annotated[str, typer.Option(metavar="tcp|udp|icmp", autocompletion=lambda: [*TESTED])]
Live = Annotated[
    bool, typer.Option("--live", help="Also try it for real, from the source's namespace.")
]


@command(
    "create",
    examples=(
        "volt net policy create --name app-to-db --from app-server --to db-primary "
        "--port 5432 --action allow",
        "volt net policy create --name no-ssh --from web --to backend --port 22 --action deny",
    ),
)
def create(
    ctx: typer.Context,
    name: NewNameOption,
    source: From,
    target: To,
    action: ActionOption,
    port: PortOption = None,
    proto: ProtoOption = None,
) -> None:
    """Allow or deny traffic between workloads.

    The first allow policy isolates its target: other workloads reach it through policies only.
    A deny goes before any allow. Creating exactly the same policy again changes nothing.
    """
    wanted = CreatePolicy(
        name=name,
        source=source,
        target=target,
        action=one_of("--action", action, ACTIONS),
        port=port,
        proto=one_of("--proto", proto, PROTOCOLS) if proto is not None else None,
    )
    session = Session.of(ctx)
    made = session.call(CREATE, wanted)
    session.done(made, _sentence(made))


@command("delete", examples=("volt net policy delete app-to-db", "volt net policy delete --name x"))
def delete(ctx: typer.Context, name: PolicyArgument = None, name_option: NameOption = None) -> None:
    """Delete a policy. Connections that only it allowed are cut."""
    session = Session.of(ctx)
    gone = session.call(DELETE, PolicyName(name=one_name(name, name_option)))
    session.done(gone, f"policy {gone.name} deleted")


@command("list", examples=("volt net policy list", "volt net policy list -o json"))
def list_policies(ctx: typer.Context) -> None:
    """List the network policies."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


@command(
    "test",
    examples=(
        "volt net policy test --from app-server --to db-primary --port 5432",
        "volt net policy test --from outside --to 192.0.2.1 --port 80 --live",
    ),
)
def ask(
    ctx: typer.Context,
    source: Asker,
    target: Asked,
    port: AskedPort = None,
    proto: AskedProto = "tcp",
    live: Live = False,
) -> None:
    """Say whether a new connection would be allowed, and what decides that.

    The exit status is 5 for DENIED.
    """
    asked = AskPolicy(
        source=source,
        target=target,
        port=port,
        proto=one_of("--proto", proto, TESTED),
        live=live,
    )
    session = Session.of(ctx)
    answer = session.call(TEST, asked)
    session.show(answer, lambda: lines(answer_lines(answer)))
    if answer.verdict == "DENIED":
        raise typer.Exit(DENIED)


def _sentence(made: CreatedPolicy) -> str:
    ports = f" port {made.port}" if made.port != "any" else ""
    what = f"{made.action} {made.proto} from {made.source} to {made.target}{ports}"
    done = "created" if made.changed else "exists already, unchanged"
    return f"policy {made.name} {done}: {what}"


def answer_lines(answer: PolicyAnswer) -> list[str]:
    """The handbook's line; what decided comes with it, or, for a denial, below it."""
    where = answer.target if answer.port is None else f"{answer.target}:{answer.port}"
    where += f" ({answer.proto})" * (answer.proto != "tcp")
    if answer.verdict == "ALLOWED":
        why = f"default: {answer.reason}" if answer.by == "default" else answer.by
        found = [f"✓ {answer.source} → {where} — ALLOWED ({why})"]
    else:
        found = [f"✗ {answer.source} → {where} — DENIED", f"  {answer.reason}"]
    if answer.live is not None:
        found.append(f"  live: {answer.live.outcome} ({_AGREEMENT[answer.live.agrees]})")
    return found


_AGREEMENT = {True: "as the model says", False: "NOT as the model says", None: "undecided"}

COMMAND = Group(
    "policy",
    "Who may talk to whom, and the question whether somebody may.",
    commands=(create, delete, list_policies, ask),
)
