"""`volt net dns`: the names that workloads find each other by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from ...control.messages.names import FLUSH, LIST, QUERY, Answer, DnsEntry, QueryName, Record
from ...control.method import Nothing
from ...errors import Failed, NotFound
from ..command import Group, command
from ..complete import workload_names
from ..output import Column, fields, section, table
from ..session import Session

ENTRIES: Sequence[Column[DnsEntry]] = (
    ("NAME", lambda each: each.name),
    ("TYPE", lambda each: each.type),
    ("ADDRESS", lambda each: each.address),
    ("NETWORK", lambda each: each.network),
    ("WORKLOAD", lambda each: each.workload),
)
RECORDS: Sequence[Column[Record]] = (
    ("NAME", lambda each: each.name),
    ("TYPE", lambda each: each.type),
    ("TTL", lambda each: each.ttl),
    ("DATA", lambda each: each.data),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to look up.")]
Type = Annotated[
    str | None,
    typer.Argument(metavar="TYPE", help="A, PTR, MX, ...; default: A, for an address PTR."),
]
Asker = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WORKLOAD",
        help="Who asks: it sees the names on its networks. Default: the host, which sees all.",
        autocompletion=workload_names,
    ),
]


@command("list", examples=("volt net dns list",))
def list_names(ctx: typer.Context) -> None:
    """List the names of the workloads."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), ENTRIES)


@command("flush", examples=("volt net dns flush",))
def flush(ctx: typer.Context) -> None:
    """Forget the cached answers of the upstream servers."""
    session = Session.of(ctx)
    gone = session.call(FLUSH, Nothing())
    session.done(gone, f"{gone.entries} cached answers forgotten")


@command(
    "query",
    examples=(
        "volt net dns query db-primary",
        "volt net dns query db-primary --from api-server",
        "volt net dns query example.com MX",
    ),
)
def query(ctx: typer.Context, name: Name, type_: Type = None, asker: Asker = None) -> None:
    """Show what a workload would be told about a name, and why.

    The exit status is 3 for a name that does not exist.
    """
    session = Session.of(ctx)
    answer = session.call(QUERY, QueryName(name=name, type=type_ or _type_of(name), workload=asker))
    session.show(answer, lambda: _answer_text(answer))
    if answer.status == "NXDOMAIN":
        raise NotFound(f"{answer.asker} is told that {answer.name} does not exist (NXDOMAIN)")
    if answer.status != "NOERROR":
        raise Failed(f"{answer.asker} is told {answer.status} for {answer.name}")


def _type_of(name: str) -> str:
    """What somebody wants to know who names no type."""
    return "PTR" if re.fullmatch(r"\d+(\.\d+){3}", name) else "A"


def _answer_text(answer: Answer) -> str:
    facts = (
        ("Asker", answer.asker),
        ("View", answer.view),
        ("Source", answer.source),
        ("Status", answer.status),
        ("Reason", answer.reason),
    )
    records = section("Records", table(answer.records, RECORDS))
    return fields(facts) + records * bool(answer.records)


COMMAND = Group(
    "dns",
    "The names that workloads find each other by.",
    commands=(list_names, flush, query),
)
