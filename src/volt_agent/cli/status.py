"""`volt status`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import typer

from ..control.messages.agent import STATUS, AgentStatus
from ..control.method import Nothing
from .command import command
from .output import bullets, fields
from .session import Session


@command("status", examples=("volt status", "volt status -o json"))
def status(ctx: typer.Context) -> None:
    """Show how the agent is, and its problems. `volt net status` shows the networking."""
    session = Session.of(ctx)
    agent = session.call(STATUS, Nothing())
    session.show(agent, lambda: _text(agent, session))


def _text(agent: AgentStatus, session: Session) -> str:
    facts = (
        ("State", agent.state),
        ("Version", agent.version),
        ("Pid", agent.pid),
        ("Generation", _generation(agent)),
        ("Started", f"{agent.started} ({duration(agent.uptime)} ago)"),
        ("Networks", agent.networks),
        ("Workloads", f"{agent.workloads}, {agent.running} running"),
        ("Memory", f"{agent.memory / 2**20:.1f} MiB"),
        ("Loop lag", f"{agent.loop_lag_p99_ms:.1f} ms (p99 of the last minute)"),
        ("Configuration", agent.config),
        ("State directory", agent.state_dir),
        ("Socket", agent.socket),
        *no_problems(agent.problems),
    )
    text = fields(facts, colour=session.colour)
    return text + bullets("Problems", agent.problems, session.width)


def no_problems(problems: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A field that says so: silence could also mean that nobody has looked."""
    if not problems:
        yield "Problems", "none"


def _generation(agent: AgentStatus) -> str:
    last = agent.hand_over
    if last is None:
        return str(agent.generation)
    return (
        f"{agent.generation}, took over with {last.connections} connections that paused "
        f"{last.pause_ms:.1f} ms"
    )


def duration(seconds: float) -> str:
    """A time span in its two largest units: `3d 4h`, `5m 6s`, `7s`."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


COMMAND = status
