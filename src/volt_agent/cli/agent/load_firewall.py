"""`volt agent load-firewall`"""

from __future__ import annotations

import asyncio

import typer

from ...errors import Failed
from ..command import command
from ..session import Session
from .options import Config, StateDir, agent_options


@command("load-firewall", prints=False, examples=("volt agent load-firewall",))
def load_firewall(ctx: typer.Context, config: Config = None, state_dir: StateDir = None) -> None:
    """Load the firewall that the agent will want, and end: for the boot, before the network is up.

    Where volt's tables are there already nothing is done. What cannot be read counts as empty: then
    the defaults are loaded, and the exit status is 1.
    """
    session = Session.of(ctx)
    options = agent_options(session, config, state_dir)
    from ...boot_firewall import load

    found = asyncio.run(load(options))
    if not session.quiet:
        session.write(f"firewall {found.outcome}\n")
    if found.problems:
        raise Failed("; ".join(found.problems))


COMMAND = load_firewall
