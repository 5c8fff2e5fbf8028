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
import time
from pathlib import Path

from ..bus import Bus
from ..events import InstanceStarted, InstanceStopped
from ..kernel.inotify import IN_Q_OVERFLOW, Inotify
from ..kernel.namespaces import identity, is_namespace
from ..model.names import is_label, label_from, second_label_from
from ..model.workload import Instance

log = logging.getLogger(__name__)

FOLDER = Path("/run/netns")


class NamedNamespaces:
    """Publishes a start for each named namespace but the agent's own, and a stop when it goes."""

    def __init__(self, bus: Bus, folder: Path = FOLDER) -> None:
        self._bus, self._folder = bus, folder
        self._running: dict[str, Instance] = {}  # file name -> its present life
        self._file_of: dict[str, str] = {}  # workload name -> file name
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
        for name in (self._running.keys() | self._bare) - present:
            self._gone(name)
        # Those whose name is a label first: whatever else maps to it, the name is theirs.
        for name in sorted(present, key=lambda name: (not is_label(name), name)):
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
        present = self._running.get(name)
        if life is None:
            self._gone(name)
        elif not is_namespace(str(path)):
            self._bare.add(name)
        elif life != self._own and (present is None or present.identity != str(life)):
            self._gone(name)
            self._began(name, str(path), str(life))
        elif life == self._own:
            self._bare.discard(name)

    def _began(self, name: str, path: str, life: str) -> None:
        # A label belongs to the namespace that bears it, whoever came first: so everybody has the
        # same name, and address, after a restart.
        borrower = self._file_of.get(name)
        if borrower is not None:
            self._gone(borrower)
        self._report(name, path, life)
        if borrower is not None:
            self._look_at(borrower)

    def _report(self, name: str, path: str, life: str) -> None:
        instance = Instance(
            name=self._label(name),
            kind="container",
            runtime="netns",
            identity=life,
            namespace=path,
        )
        self._bare.discard(name)
        self._running[name] = instance
        self._file_of[instance.name] = name
        self._bus.publish(InstanceStarted(instance=instance, at=time.monotonic()))

    def _gone(self, name: str) -> None:
        self._bare.discard(name)
        instance = self._running.pop(name, None)
        if instance is not None:
            del self._file_of[instance.name]
            self._bus.publish(InstanceStopped(instance=instance, at=time.monotonic()))

    def _label(self, name: str) -> str:
        """The workload's name. Of two namespaces that map to one label, and of which none bears it,
        the first keeps it."""
        label = label_from(name)
        if label in self._file_of:
            return second_label_from(name)
        return label
