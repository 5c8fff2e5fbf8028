"""Named network namespaces in /run/netns as workloads.

`ip netns add` makes an empty file and mounts the namespace on it a moment later (ip-netns(8)).
inotify tells of the file, a change of the mount table (poll on /proc/self/mountinfo, proc(5)) of
the mount; so a namespace is seen within a fraction of a millisecond of becoming one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from pathlib import Path

from ..bus import Bus
from ..kernel.inotify import IN_Q_OVERFLOW, Inotify
from ..kernel.namespaces import identity, is_namespace
from ..model.workload import Instance
from .lives import Lives, owners_first

log = logging.getLogger(__name__)

FOLDER = Path("/run/netns")


class NamedNamespaces:
    """Publishes a start for each named namespace but the agent's own, and a stop when it goes."""

    def __init__(self, bus: Bus, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._lives = Lives(bus)  # by file name
        self._bare: set[str] = set()  # files on which nothing is mounted (yet)
        self._own = identity("/proc/self/ns/net")

    async def start(self) -> None:
        """Report what is there, then watch."""
        loop = asyncio.get_running_loop()
        self._inotify = Inotify()
        self._watched = False
        self._inotify.watch(str(self._folder.parent))
        # mountinfo is always readable: only POLLPRI says that the table changed, and asyncio knows
        # no such event. An epoll set of our own does, and is itself readable when it fires.
        self._mounts = open("/proc/self/mountinfo", "rb", buffering=0)  # noqa: SIM115, ASYNC230
        self._mount_changes = select.epoll()
        self._mount_changes.register(self._mounts.fileno(), select.EPOLLPRI)
        self._watch_folder()
        loop.add_reader(self._inotify.fileno(), self._folder_changed)
        loop.add_reader(self._mount_changes.fileno(), self._mounts_changed)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.fileno())
        loop.remove_reader(self._mount_changes.fileno())
        self._mount_changes.close()
        self._mounts.close()
        self._inotify.close()

    def _watch_folder(self) -> None:
        self._watched = self._inotify.watch(str(self._folder))
        self._scan()

    def _scan(self) -> None:
        try:
            present = set(os.listdir(self._folder))
        except OSError:
            present = set()
        for name in (self._lives.names | self._bare) - present:
            self._gone(name)
        for name in owners_first(present):
            self._look_at(name)

    def _folder_changed(self) -> None:
        for folder, name, mask in self._inotify.read():
            if mask & IN_Q_OVERFLOW:
                self._scan()
            elif folder == str(self._folder) and name:
                self._look_at(name)
            elif not self._watched and name == self._folder.name:
                self._watch_folder()
            elif folder == str(self._folder):  # the folder itself went
                self._watched = False
                self._scan()

    def _mounts_changed(self) -> None:
        self._mount_changes.poll(0)
        for name in sorted(self._bare):
            self._look_at(name)

    def _look_at(self, name: str) -> None:
        path = self._folder / name
        life = identity(str(path))
        present = self._lives.get(name)
        if life is None:
            self._gone(name)
        elif not is_namespace(str(path)):
            self._bare.add(name)
        elif life == self._own:
            self._bare.discard(name)
        elif present is None or present.identity != str(life):
            self._bare.discard(name)
            self._lives.began(name, _instance(name, str(path), str(life)))

    def _gone(self, name: str) -> None:
        self._bare.discard(name)
        self._lives.ended(name)


def _instance(name: str, path: str, life: str) -> Instance:
    return Instance(name=name, kind="container", runtime="netns", identity=life, namespace=path)
