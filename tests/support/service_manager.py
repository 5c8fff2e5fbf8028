"""A stand-in for systemd: runs one service as Type=notify with a file descriptor store.

What it does as systemd does, from sd_notify(3), sd_listen_fds(3) and systemd.service(5):
notifications count only from the main process; FDSTORE keeps descriptors over restarts and crashes,
up to a limit, each file once, under a name that must be sound; FDSTOREREMOVE drops by name; MAINPID
makes another process the main one, be it a child or not; a descriptor with an error or hang-up
leaves the store unless FDPOLL=0 came with it; BARRIER is answered; a stop empties the store, a
restart does not. `service` runs it in a private host.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
STORE_MAX = 512  # FileDescriptorStoreMax= of a unit that asks for plenty
READY_WITHIN = 60.0  # TimeoutStartSec=
STOP_WITHIN = 60.0  # TimeoutStopSec=
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


class ServiceManager:
    """Runs `command`, one life after the other. `listeners` are its socket units, by name."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        listeners: Mapping[str, socket.socket] | None = None,
        environment: Mapping[str, str] | None = None,
        store_max: int = STORE_MAX,
    ) -> None:
        self._command = list(command)
        self._listeners = dict(listeners or {})
        self._environment = dict(os.environ if environment is None else environment)
        self._directory = tempfile.TemporaryDirectory(prefix="volt-service-")
        self._notify = _notify_socket(self._directory.name)
        self._store_max = store_max
        self.store: list[tuple[str, int]] = []
        self._polled: set[int] = set()
        self.pid: int | None = None
        self._orphan: int | None = None  # a pidfd of the main process, where it is no child
        self._former: list[int] = []  # children that were the main process
        self.status: int | None = None
        self.states: dict[str, str] = {}
        self.refused: list[str] = []

    def __repr__(self) -> str:
        names = [name for name, _ in self.store]
        return f"<ServiceManager [pid {self.pid}, store {names}, {self.states}]>"

    # ---- one life -------------------------------------------------------------------------------

    def start(self, within: float = READY_WITHIN) -> None:
        """Start the service and wait for READY=1. Raises ChildProcessError if it ends before."""
        self.states.clear()
        self.status = None
        self.pid = self._spawn()
        self.await_state("READY", "1", within)

    def kill(self) -> None:
        """SIGKILL, as a crash would be; the store stays."""
        self._end(signal.SIGKILL, STOP_WITHIN)

    def restart(self) -> None:
        """As `systemctl restart`: SIGTERM, wait, start again with what the store holds."""
        self._end(signal.SIGTERM, STOP_WITHIN)
        self.start()

    def stop(self) -> None:
        """As `systemctl stop`: SIGTERM, and the store is emptied."""
        self._end(signal.SIGTERM, STOP_WITHIN)
        self._drop_all()

    def close(self) -> None:
        """End the service if it runs, and give everything back."""
        if self.pid is not None:
            self.kill()
        self._drop_all()
        self._notify.close()
        self._directory.cleanup()

    def await_state(self, field: str, value: str, within: float) -> None:
        """Handle notifications until FIELD=value has come."""
        deadline = time.monotonic() + within
        while self.states.get(field) != value:
            if self._reap():
                raise ChildProcessError(f"ended with {self.status} before {field}={value}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {field}={value} within {within} s")
            self.handle(0.02)

    def handle(self, within: float) -> None:
        """Take in the notifications that come within `within` seconds, at least those waiting."""
        readable, _, _ = select.select([self._notify], [], [], within)
        while readable:
            self._receive()
            readable, _, _ = select.select([self._notify], [], [], 0)
        self._poll_store()

    # ---- the process ----------------------------------------------------------------------------

    def _spawn(self) -> int:
        passed = [*((name, each.fileno()) for name, each in self._listeners.items()), *self.store]
        # Copied out of the way first: a descriptor may stand where another one has to go.
        spare = [_copy_above(fd, FIRST_DESCRIPTOR + len(passed)) for _, fd in passed]
        actions = [
            (os.POSIX_SPAWN_DUP2, fd, FIRST_DESCRIPTOR + place) for place, fd in enumerate(spare)
        ]
        environment = self._environment | {"NOTIFY_SOCKET": f"{self._directory.name}/notify"}
        if passed:
            environment |= {
                "LISTEN_FDS": str(len(passed)),
                "LISTEN_FDNAMES": ":".join(name for name, _ in passed),
            }
        # LISTEN_PID must be the service's own process id, which is known only in it.
        shell = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self._command]
        try:
            return os.posix_spawn(shell[0], shell, environment, file_actions=actions)
        finally:
            for fd in spare:
                os.close(fd)

    def _end(self, how: signal.Signals, within: float) -> None:
        assert self.pid is not None, "the service does not run"
        deadline = time.monotonic() + within
        os.kill(self.pid, how)
        while not self._reap():
            self.handle(0.005)  # it may still tell us to keep something
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline += within
        self.handle(0)

    def _reap(self) -> bool:
        """Whether the service has ended; `status` is then set, negative for a signal."""
        for each in [*self._former]:
            with suppress(ChildProcessError):
                if os.waitpid(each, os.WNOHANG)[0] == 0:
                    continue
            self._former.remove(each)
        if self._orphan is not None:
            if select.select([self._orphan], [], [], 0)[0]:
                os.close(self._orphan)
                self.pid = self._orphan = None
        elif self.pid is not None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
                self.pid = None
        return self.pid is None

    # ---- notifications --------------------------------------------------------------------------

    def _receive(self) -> None:
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * 253)
        data, ancillary, _, _ = self._notify.recvmsg(4096, room, socket.MSG_CMSG_CLOEXEC)
        sender, descriptors = _unpack(ancillary)
        if sender not in (self.pid, None):
            self.refused.append(f"notification from process {sender}, not the main one")
            _close(descriptors)
            return
        lines = [line.partition("=") for line in data.decode().splitlines()]
        self._apply({key: value for key, _, value in lines}, descriptors)

    def _apply(self, fields: dict[str, str], descriptors: list[int]) -> None:
        name = fields.pop("FDNAME", "stored")
        polled = fields.pop("FDPOLL", "1") != "0"
        if fields.pop("FDSTOREREMOVE", None) == "1":
            self._drop(name)
        elif fields.pop("FDSTORE", None) == "1":
            for fd in descriptors:
                self._keep(name, fd, polled)
            descriptors = []
        if "MAINPID" in fields:
            self._follow(int(fields.pop("MAINPID")))
        fields.pop("BARRIER", None)  # closing its descriptor below is the answer
        self.states |= fields
        _close(descriptors)

    def _follow(self, pid: int) -> None:
        if self.pid is not None:
            self._former.append(self.pid)
        self.pid, self._orphan = pid, os.pidfd_open(pid)

    def _keep(self, name: str, fd: int, polled: bool) -> None:
        if not _is_sound(name):
            self.refused.append(f"name {name!r}")
            name = "stored"
        reason = None
        if len(self.store) >= self._store_max:
            reason = f"store is full, {name!r} not kept"
        elif any(_is_same_file(fd, kept) for _, kept in self.store):
            reason = f"{name!r} is in the store already"
        if reason:
            self.refused.append(reason)
            os.close(fd)
            return
        self.store.append((name, fd))
        if polled:
            self._polled.add(fd)

    def _drop(self, name: str) -> None:
        for entry in [each for each in self.store if each[0] == name]:
            self._forget(entry)

    def _drop_all(self) -> None:
        for entry in list(self.store):
            self._forget(entry)

    def _forget(self, entry: tuple[str, int]) -> None:
        self.store.remove(entry)
        self._polled.discard(entry[1])
        os.close(entry[1])

    def _poll_store(self) -> None:
        poll = select.poll()
        for fd in self._polled:
            poll.register(fd, 0)  # errors and hang-ups are always told
        dead = {fd for fd, _ in poll.poll(0)}
        for entry in [each for each in self.store if each[1] in dead]:
            self._forget(entry)


def _notify_socket(directory: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    made.bind(f"{directory}/notify")
    return made


def _unpack(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int | None, list[int]]:
    """The sender's process id and the descriptors that came along."""
    sender, descriptors = None, array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        elif kind == socket.SCM_CREDENTIALS:
            sender = _CREDENTIALS.unpack(data)[0]
    return sender, list(descriptors)


def _is_sound(name: str) -> bool:
    """fdname_is_valid() of systemd: printable ASCII without a colon, at most 255."""
    return 0 < len(name) <= 255 and all(" " <= each < "\x7f" and each != ":" for each in name)


def _is_same_file(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _copy_above(fd: int, lowest: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        with suppress(OSError):
            os.close(fd)
