"""`volt agent check`"""

from __future__ import annotations

from pathlib import Path

import typer

from ..command import command
from ..session import Session
from .options import Config, agent_options


@command("check", prints=False, examples=("volt agent check", "volt agent check --config new.yaml"))
def check(ctx: typer.Context, config: Config = None) -> None:
    """Check the configuration and name every mistake; change nothing."""
    from ...config import ConfigError, load

    session = Session.of(ctx)
    options = agent_options(session, config)
    try:
        load(Path(options.config), required=options.config_named)
    except ConfigError as error:
        print("\n".join(error.mistakes), file=session.err)
        raise typer.Exit(error.exit_status) from error
    if not session.quiet:
        session.write(f"{options.config}: fine\n")


COMMAND = check
