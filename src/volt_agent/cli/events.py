"""`volt events`"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from msgspec import json

from ..control.failure import error_from
from ..errors import Invalid
from .command import command
from .output import as_yaml, cell
from .session import Session

# What fits a screen, before the new ones come; journalctl and tail do the same.
LINES_BEFORE_FOLLOWING = 10
ALL = 1000

Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Then wait for more, until interrupted.")
]
Lines = Annotated[
    int | None,
    typer.Option(
        "--lines",
        "-n",
        metavar="N",
        help="How many past events. Default: all kept, 10 with --follow.",
    ),
]


@command(
    "events",
    examples=("volt events", "volt events --follow", "volt events -f -o json | jq .workload"),
)
def events(ctx: typer.Context, follow: Follow = False, lines: Lines = None) -> None:
    """Show what happened, and with --follow what happens.

    The agent keeps the last 1,000 events since its start. With -o json each is an object on a line
    of its own.
    """
    if lines is not None and lines < 0:
        raise Invalid(f"--lines: expected a number from 0, got {lines}")
    session = Session.of(ctx)
    if follow:
        _follow(session, LINES_BEFORE_FOLLOWING if lines is None else lines)
    else:
        _recent(session, ALL if lines is None else lines)


def _recent(session: Session, lines: int) -> None:
    answer = session.client().request("GET", f"/v1/events?follow=false&recent={lines}")
    if answer.status != 200:
        raise error_from(answer.status, answer.body)
    for line in answer.body.decode().splitlines():
        _show(session, line)


def _follow(session: Session, lines: int) -> None:
    from ..control.events_client import follow_events

    def show(event: str) -> None:
        _show(session, event)
        session.out.flush()

    follow_events(session.client().connect(), lines, show)


def _show(session: Session, event: str) -> None:
    if session.format == "json":
        session.write(event + "\n")
    elif session.format == "yaml":
        session.write("---\n" + as_yaml(json.decode(event)))
    else:
        session.write(one_line(json.decode(event)) + "\n")


def one_line(event: dict[str, Any]) -> str:
    """An event for people: when, what, and the rest as NAME=VALUE."""
    rest = {name: value for name, value in event.items() if name not in ("time", "event")}
    words = [cell(event.get("time")), cell(event.get("event"))]
    return "  ".join([*words, " ".join(f"{name}={_value(rest[name])}" for name in rest)]).rstrip()


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{cell(key)}:{cell(each)}" for key, each in value.items()) or "-"
    text = cell(value)
    return json.encode(text).decode() if " " in text else text


COMMAND = events
