"""`volt net`: networks, who is connected to them, and what may pass."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "net",
    "Networks, who is connected to them, and what may pass.",
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
        "firewall",
        "port",
        "policy",
        "dns",
        "lease",
        "vlan",
    ),
)
