"""The agent itself."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..method import Method, Nothing, Params

State = Literal["starting", "ready", "degraded", "stopping"]
Part = Literal["dns", "ingress"]


class HandOver(Struct, frozen=True, kw_only=True):
    """How an agent took over from the one before: `at` in Unix seconds; `pause_ms` is the longest
    time for which a connection rested, `changes_waited_ms` for how long changes (commands, new
    workloads) had to wait; `connections` came along, a tunnel counts as one."""

    at: float
    pause_ms: float
    changes_waited_ms: float
    connections: int


class AgentStatus(Struct, frozen=True, kw_only=True):
    """How the agent is. Also served as `GET /status`.

    `state` is "ready" once everything desired has taken effect. `started` is RFC 3339, `uptime` in
    seconds. `generation` counts agents that took over from each other, `hand_over` is how this one
    did. `loop_lag_p99_ms` is over the last minute, `memory` the resident bytes. `problems` are
    sentences; none means all is well.
    """

    version: str
    pid: int
    state: State
    started: str
    uptime: float
    networks: int
    workloads: int
    running: int
    config: str
    state_dir: str
    socket: str
    loop_lag_p99_ms: float
    memory: int
    problems: list[str] = []
    generation: int = 1
    hand_over: HandOver | None = None


class Reloaded(Struct, frozen=True, kw_only=True):
    """Which settings (dotted paths) took effect, and which wait for a restart."""

    changed: list[str] = []
    restart_needed: list[str] = []


class Reset(Params, frozen=True):
    """`purge` also removes the store: networks, connections, addresses."""

    purge: bool = False


class ResetReport(Struct, frozen=True, kw_only=True):
    """What was removed (one line each), and what could not be."""

    removed: list[str] = []
    failed: list[str] = []


class Switch(Params, frozen=True):
    """Switch a part on or off; with `on` None only ask."""

    part: Part
    on: bool | None = None


class Switched(Struct, frozen=True, kw_only=True):
    """How it is with a part now; `detail` is a sentence."""

    part: Part
    on: bool
    detail: str


class Upgrade(Params, frozen=True):
    """`timeout`: seconds that the new version may take until it is ready. With `if_newer` nothing
    happens where the program on the disk is the one that runs."""

    timeout: Annotated[float, Meta(gt=0, le=600)] = 30.0
    if_newer: bool = False


class Upgraded(Struct, frozen=True, kw_only=True):
    """The process that has taken over, and how long it took; with `pid` 0 none was started."""

    pid: int
    version: str
    generation: int
    seconds: float


STATUS = Method("status", Nothing, AgentStatus, "Show how the agent is")
RELOAD = Method("agent.reload", Nothing, Reloaded, "Read the configuration again", changes=True)
RESET = Method(
    "agent.reset", Reset, ResetReport, "Remove everything volt made from the kernel", changes=True
)

SWITCH = Method(
    "agent.switch",
    Switch,
    Switched,
    "Switch the name server or the ingress on or off",
    changes=True,
)

UPGRADE = Method(
    "agent.upgrade", Upgrade, Upgraded, "Have the installed version take over", changes=True
)

METHODS = (STATUS, RELOAD, RESET, SWITCH, UPGRADE)
