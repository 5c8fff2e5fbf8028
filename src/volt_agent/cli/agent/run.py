"""`volt agent run`"""

from __future__ import annotations

import typer

from ..command import command
from ..session import Session
from .options import Config, Level, StateDir, agent_options


@command(
    "run",
    prints=False,
    examples=("volt agent run", "volt agent run --config ./config.yaml --state-dir ./state"),
)
def run(
    ctx: typer.Context, config: Config = None, state_dir: StateDir = None, log_level: Level = None
) -> None:
    """Run the agent in the foreground, until SIGTERM or Ctrl-C.

    What it made in the kernel stays when it ends; `volt agent reset` removes it. With a state
    directory that knows nothing of workloads which volt has connected here, it refuses to start.
    """
    options = agent_options(Session.of(ctx), config, state_dir, log_level)
    from ... import agent

    raise typer.Exit(agent.run(options))


COMMAND = run
