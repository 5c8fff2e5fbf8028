"""`volt agent`: the agent itself."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "agent",
    "The agent itself: start it, reload its configuration, upgrade it.",
    package=__name__,
    members=("run", "check", "reload", "upgrade", "switch", "reset", "load-firewall"),
)
