"""`volt container`: containers, and everything about one of them."""

from __future__ import annotations

from ..command import Group

COMMAND = Group(
    "container",
    "Containers, and everything about one of them.",
    package=__name__,
    members=("list", "inspect"),
)
