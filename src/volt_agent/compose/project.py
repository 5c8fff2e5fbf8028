"""A Compose file as a whole: plain values -> Wanted."""

from __future__ import annotations

import re

from ..control.messages.compose import Wanted, WantedNetwork
from .networks import name_of, read_networks
from .reader import Reader
from .services import read_services

KNOWN = ("name", "networks", "services")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def resolve(reader: Reader, value: object, project: str) -> Wanted:
    """What the file wants; its mistakes are in `reader`, and then the result means nothing."""
    found = reader.mapping("the file", value)
    reader.ignore_others("", found, KNOWN)
    listed = reader.mapping("networks", found.get("networks"))
    networks = read_networks(reader, listed, project)
    services = read_services(
        reader, reader.mapping("services", found.get("services")), networks, project
    )
    if any("default" in each.networks for each in services):
        networks.setdefault("default", WantedNetwork(name=name_of("default", project)))
    return Wanted(
        name=project,
        networks=tuple(networks.values()),
        connections=tuple(place for each in services for place in each.connections),
        forwards=tuple(forward for each in services for forward in each.forwards),
    )


def is_project_name(text: str) -> bool:
    """Lower case letters, digits, hyphens and underscores (Compose specification, "name")."""
    return _PROJECT.fullmatch(text) is not None


def project_from(directory: str) -> str:
    """The project that a file in a directory of this name is, as docker compose has it."""
    return re.sub(r"[^a-z0-9_-]+", "", directory.lower()).lstrip("_-")[:63]
