"""The options that say where an agent has its files."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer

from ...errors import Invalid
from ...options import AgentOptions, LogLevel, resolve_agent_options
from ..session import Session

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration [env: VOLT_CONFIG; default: /etc/volt/config.yaml].",
    ),
]
StateDir = Annotated[
    str | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="The state [env: VOLT_STATE_DIR; default: /var/lib/volt].",
    ),
]
Level = Annotated[
    str | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error; -v is debug, -q is warning. Default: info.",
        autocompletion=lambda: [*get_args(LogLevel)],
    ),
]


def agent_options(
    session: Session, config: str | None, state_dir: str | None = None, level: str | None = None
) -> AgentOptions:
    """How to start an agent, from the options of the command and the global ones."""
    return resolve_agent_options(
        session.environ,
        config=config,
        state_dir=state_dir,
        socket=session.socket,
        log_level=_log_level(session, level),
    )


def _log_level(session: Session, level: str | None) -> LogLevel:
    if level is None:
        return "debug" if session.verbose else "warning" if session.quiet else "info"
    if level not in get_args(LogLevel):
        raise Invalid(f"no such log level: {level}", "use debug, info, warning or error")
    return cast("LogLevel", level)
