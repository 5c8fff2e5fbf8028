"""What a Compose file has made, so that it can be taken away again."""

from __future__ import annotations

from msgspec import Struct


class Project(Struct, frozen=True):
    """The objects that `volt compose up` made for a project, and nothing that was there before.

    `networks` and `workloads` are names; a workload is one that nobody knew before the project.
    `connections` and `forwards` are the keys of these objects. What somebody deleted by hand may
    still be listed.
    """

    name: str
    networks: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name
