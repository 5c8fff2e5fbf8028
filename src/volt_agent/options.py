"""Where things are: the defaults of the paths, and which environment variable overrides which.

Shared by the agent and the command line, so that both come to the same answer. A given option wins
over the environment, the environment over the default. Root uses the paths of the system; everybody
else those of the XDG base directory specification (XDG_STATE_HOME, XDG_RUNTIME_DIR).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

LogLevel = Literal["debug", "info", "warning", "error"]

SYSTEM_CONFIG = "/etc/volt/config.yaml"
SYSTEM_STATE = "/var/lib/volt"
SYSTEM_SOCKET = "/run/volt/agent.sock"


class AgentOptions(Struct, frozen=True):
    """How to start the agent. Paths as given, not resolved.

    `config_named` is True when somebody named the configuration file: then it has to exist, while
    the default one may be absent. `switches` is where a service manager that switches parts of the
    agent keeps their state (`switches`); None where there is none.
    """

    config: str = SYSTEM_CONFIG
    state_dir: str = SYSTEM_STATE
    socket: str = SYSTEM_SOCKET
    log_level: LogLevel = "info"
    config_named: bool = False
    switches: str | None = None


def resolve_agent_options(
    environ: Mapping[str, str],
    *,
    config: str | None = None,
    state_dir: str | None = None,
    socket: str | None = None,
    log_level: LogLevel = "info",
    uid: int | None = None,
) -> AgentOptions:
    """The options of an agent, from the command line's (None: not given) and the environment.

    `uid` is the effective user id, by default that of this process.
    """
    named = config or environ.get("VOLT_CONFIG")
    return AgentOptions(
        config=named or SYSTEM_CONFIG,
        state_dir=state_dir or environ.get("VOLT_STATE_DIR") or default_state_dir(environ, uid),
        socket=socket or environ.get("VOLT_SOCKET") or default_socket(environ, uid),
        log_level=log_level,
        config_named=named is not None,
        switches=environ.get("VOLT_SWITCHES"),
    )


def default_state_dir(environ: Mapping[str, str], uid: int | None = None) -> str:
    """Where an agent of this user keeps its state."""
    if _is_root(uid):
        return SYSTEM_STATE
    base = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "volt")


def default_socket(environ: Mapping[str, str], uid: int | None = None) -> str:
    """Where an agent of this user listens. Without XDG_RUNTIME_DIR that is beside its state."""
    if _is_root(uid):
        return SYSTEM_SOCKET
    runtime = environ.get("XDG_RUNTIME_DIR")
    folder = os.path.join(runtime, "volt") if runtime else default_state_dir(environ, uid)
    return os.path.join(folder, "agent.sock")


def socket_candidates(
    environ: Mapping[str, str], given: str | None = None, uid: int | None = None
) -> tuple[str, ...]:
    """Where a client looks for an agent, in order.

    A named socket is the only candidate. Otherwise a user's own agent comes before the system's,
    because whoever started one means that one.
    """
    named = given or environ.get("VOLT_SOCKET")
    if named:
        return (named,)
    return tuple(dict.fromkeys((default_socket(environ, uid), SYSTEM_SOCKET)))


def _is_root(uid: int | None) -> bool:
    return (os.geteuid() if uid is None else uid) == 0
