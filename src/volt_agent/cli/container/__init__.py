"""`volt container`: containers; inspect and forget take virtual machines as well."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "container",
    "Containers, and everything about one of them.",
    package=__name__,
    members=("list", "inspect", "forget"),
)
