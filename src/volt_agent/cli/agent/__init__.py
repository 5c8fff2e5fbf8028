"""`volt agent`: the agent itself."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "agent",
    "The agent itself: start it, check and reload its configuration.",
    package=__name__,
    members=("run", "check", "reload", "switch", "reset", "load-firewall"),
)
