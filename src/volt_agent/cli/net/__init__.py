"""`volt net`: networks, and who is connected to them."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "net",
    "Networks, and who is connected to them.",
    package=__name__,
    members=(
        "create",
        "delete",
        "list",
        "inspect",
        "connect",
        "disconnect",
        "status",
        "bridge",
        "dns",
    ),
)
