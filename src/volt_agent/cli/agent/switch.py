"""`volt agent switch`"""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from ...control.messages.agent import SWITCH, Part, Switch
from ...errors import Invalid
from ..command import command
from ..session import Session

PARTS: tuple[Part, ...] = get_args(Part)
STATES = {"on": True, "off": False}

Name = Annotated[
    str,
    typer.Argument(metavar="dns|ingress", help="Which part.", autocompletion=lambda: [*PARTS]),
]
State = Annotated[
    str | None,
    typer.Argument(
        metavar="on|off", help="Without it: how it is.", autocompletion=lambda: [*STATES]
    ),
]


@command("switch", examples=("volt agent switch ingress", "volt agent switch ingress off"))
def switch(ctx: typer.Context, part: Name, state: State = None) -> None:
    """Switch the name server or the ingress of the agent on or off, or say how it is.

    Under systemd volt-dns.service and volt-ingress.service do this; it lasts until the next boot.
    """
    if state not in (None, *STATES):
        raise Invalid(f"expected on or off, got {state}")
    chosen = next((each for each in PARTS if each == part), None)
    if chosen is None:
        raise Invalid(f"there is no part {part}", f"one of: {', '.join(PARTS)}")
    session = Session.of(ctx)
    done = session.call(SWITCH, Switch(part=chosen, on=None if state is None else STATES[state]))
    session.done(done, f"{done.part}: {done.detail}")


COMMAND = switch
