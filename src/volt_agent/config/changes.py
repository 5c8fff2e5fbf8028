"""What differs between two configurations, and which of it needs a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple, get_origin, get_type_hints

from .schema import Config, Section

# The keys that a running agent cannot change, each with the reason; all others are live.
RESTART: dict[str, str] = {
    "network.default_bridge": "the default network is made and stored at the start",
    "network.default_subnet": "workloads hold addresses of it",
    "network.mtu": "interfaces of running workloads were made with it",
    "network.dns.enabled": "the servers' sockets are opened at the start",
    "network.dhcp.enabled": "the servers' sockets are opened at the start",
    "status.listen": "the socket is opened at the start",
}


class Differences(NamedTuple):
    """Dotted paths of the keys that differ, in the order of the schema."""

    live: tuple[str, ...]
    needs_restart: tuple[str, ...]


def differences(old: Config, new: Config) -> Differences:
    """Which keys differ, split by whether a running agent can take them over."""
    before = dict(leaves(old))
    changed = [path for path, value in leaves(new) if before[path] != value]
    return Differences(
        tuple(path for path in changed if path not in RESTART),
        tuple(path for path in changed if path in RESTART),
    )


def leaves(section: Section, path: str = "") -> Iterator[tuple[str, object]]:
    """Every key and its value. A section that may be absent counts as one value."""
    for name, hint in get_type_hints(type(section), include_extras=True).items():
        value = getattr(section, name)
        where = f"{path}.{name}".lstrip(".")
        is_section = isinstance(hint, type) and issubclass(hint, Section)
        if get_origin(hint) is not Annotated and is_section:
            yield from leaves(value, where)
        else:
            yield where, value
