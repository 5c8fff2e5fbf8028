"""`volt agent reset`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...control.messages.agent import RESET, Reset, ResetReport
from ...errors import AgentNotRunning, Failed
from ..command import command
from ..session import Session
from .options import StateDir, agent_options

Purge = Annotated[
    bool,
    typer.Option("--purge", help="Also forget networks, connections, addresses and certificates."),
]


@command("reset", examples=("volt agent reset", "volt agent reset --purge"))
def reset(
    ctx: typer.Context,
    purge: Purge = False,
    state_dir: StateDir = None,
) -> None:
    """Remove everything that volt made from the kernel, and nothing else.

    Works with and without a running agent, which ends. Connected workloads lose their network, and
    net.ipv4.ip_forward is again what it was before volt. Under systemd, `systemctl disable --now
    volt-agent` comes first: the next command would start the agent again.
    """
    session = Session.of(ctx)
    try:
        report = session.call(RESET, Reset(purge=purge))
    except AgentNotRunning:
        report = _without_agent(agent_options(session, None, state_dir).state_dir, purge)
    session.done(report, _text(report))
    if report.failed:
        raise Failed("could not remove: " + "; ".join(report.failed))


def _without_agent(state_dir: str, purge: bool) -> ResetReport:
    import asyncio

    from ...removal import reset_without_agent

    return asyncio.run(reset_without_agent(Path(state_dir), purge))


def _text(report: ResetReport) -> str:
    return "\n".join(f"removed {each}" for each in report.removed) or "there was nothing to remove"


COMMAND = reset
