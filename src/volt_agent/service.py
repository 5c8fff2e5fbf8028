"""The service manager: tell it how we are, and let it keep sockets while we are not there.

The protocol of sd_notify(3) and sd_listen_fds(3), spoken directly: a datagram of `KEY=value` lines
to $NOTIFY_SOCKET, file descriptors attached where it is to keep them, and descriptors 3, 4, ...
when it gives them back. Without a service manager everything here does nothing, successfully.

A socket in the manager's store keeps receiving while the agent restarts, even after a crash: what
arrives meanwhile waits in its buffer. Only listening sockets belong there: systemd pays
quadratically (2,000 descriptors cost PID 1 two seconds). The store is lost at `systemctl stop`.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import re
import socket
import time
import weakref
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
# systemd empties its queue within a millisecond. On a busy machine it may not, and must not hold
# the loop up: what it has no room for is sent later, in its order.
_SEND_TIMEOUT = 0.005
_SEND_AGAIN = 0.05
_UNSENT_MAX = 1024
# What a successor has to know of the manager. WATCHDOG_PID is left out: it is another process.
_FOR_SUCCESSORS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "FDSTORE")
_NAME = re.compile(r"[A-Za-z0-9.-]{1,255}")


class ServiceManager:
    """The service manager of this process, or the absence of one.

    `environment` is read once and what concerns this process alone is taken out of it, so that no
    child believes to be spoken to. `watchdog` is how often to send `watchdog=1`, in seconds (half
    of what the manager waits), or None. `given` are the sockets of an agent that has handed over,
    by name; `environment` (attribute) is what our own successor needs.
    """

    def __init__(
        self,
        environment: MutableMapping[str, str] | None = None,
        given: Mapping[str, int] | None = None,
    ) -> None:
        taken = os.environ if environment is None else environment
        self.environment = {each: taken[each] for each in _FOR_SUCCESSORS if each in taken}
        self._address = _address(taken.pop("NOTIFY_SOCKET", ""))
        self.watchdog = _watchdog(taken)
        # Since version 254 systemd says how many descriptors it would keep; before, one has to try.
        self.has_store = taken.pop("FDSTORE", "") != "0" and bool(self._address)
        self._given = _take_descriptors(taken)
        # Lines, and descriptors of our own, that wait until the manager listens again.
        self._unsent: deque[tuple[Sequence[str], list[int]]] = deque()
        for name, descriptor in (given or {}).items():
            self._given[name] = [descriptor]
        self._held: dict[str, weakref.ref[socket.socket]] = {}
        self._claimed: set[str] = set()
        self._kept: set[str] = set()

    def __repr__(self) -> str:
        present = "present" if self._address else "absent"
        return (
            f"<ServiceManager {present} [given {sorted(self._given)}, kept {sorted(self._kept)}]>"
        )

    def notify(self, **fields: str | int) -> None:
        """Send fields of sd_notify(3): `notify(ready=1, status="serving")` is READY=1, STATUS=...

        A field is one line: line breaks in a value become spaces.
        """
        self._send([f"{key.upper()}={_one_line(value)}" for key, value in fields.items()])

    def reloading(self) -> None:
        """Say that a reload begins (with the time, for Type=notify-reload); `ready=1` ends it."""
        self.notify(reloading=1, monotonic_usec=time.monotonic_ns() // 1000)

    def inherited(self, name: str) -> socket.socket | None:
        """The socket that was handed over under `name`, at most once; None where there is none.

        The caller checks that it is what the name says (type, bound address), and calls `forget`
        when it is not.
        """
        descriptors = self._given.get(name, [])
        while descriptors:
            descriptor = descriptors.pop(0)
            try:
                found = socket.socket(fileno=descriptor)
            except OSError:
                log.warning("the service manager handed over %r, which is no socket", name)
                os.close(descriptor)
                continue
            found.setblocking(False)
            self._claimed.add(name)
            self._kept.add(name)
            self.hold(name, found)
            return found
        return None

    def keep(self, name: str, sock: socket.socket) -> None:
        """Have `sock` kept under `name`, in place of what was kept under it before.

        Raises ValueError for a name that the protocol cannot carry.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a kept socket: {name!r}")
        if name in self._kept:
            self.forget(name)
        # FDPOLL=0: without it the manager drops a socket on which the kernel reports an error.
        self._send(["FDSTORE=1", "FDPOLL=0", f"FDNAME={name}"], [sock.fileno()])
        self._kept.add(name)
        self.hold(name, sock)

    def hold(self, name: str, sock: socket.socket) -> None:
        """Remember `sock` for a successor of this process, for as long as it is open; the manager
        does not keep it."""
        self._held[name] = weakref.ref(sock)

    def duplicates(self) -> dict[str, int]:
        """A descriptor for each socket that is held and open, by name; they are the caller's."""
        held = {name: found for name, each in self._held.items() if (found := each()) is not None}
        return {name: os.dup(each.fileno()) for name, each in held.items() if each.fileno() >= 0}

    def give(self, descriptors: Mapping[str, int]) -> None:
        """Have these to be `inherited`."""
        for name, descriptor in descriptors.items():
            self._given[name] = [descriptor]

    def forget(self, name: str) -> None:
        """Have everything that is kept under `name` dropped."""
        self._kept.discard(name)
        self._held.pop(name, None)
        self._send(["FDSTOREREMOVE=1", f"FDNAME={name}"])

    def close_unclaimed(self) -> tuple[str, ...]:
        """Close what was handed over and nobody asked for; returns the names.

        Called once everybody had the chance: the networks of those sockets are gone.
        """
        unclaimed = tuple(name for name, descriptors in self._given.items() if descriptors)
        for name in unclaimed:
            for descriptor in self._given[name]:
                with suppress(OSError):
                    os.close(descriptor)
            # The store removes by name, so a name that is in use keeps its duplicates.
            if name not in self._claimed:
                self.forget(name)
        self._given.clear()
        return unclaimed

    def _send(self, lines: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        if not self._address or not lines:
            return
        if not self._unsent and self._is_sent(lines, descriptors):
            return
        loop = _running_loop()
        if loop is None or len(self._unsent) == _UNSENT_MAX:
            log.warning("the service manager does not listen: %s", lines[0])
            return
        if not self._unsent:
            loop.call_later(_SEND_AGAIN, self._send_waiting, loop)
        self._unsent.append((lines, [os.dup(each) for each in descriptors]))

    def _send_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._unsent:
            lines, descriptors = self._unsent[0]
            if not self._is_sent(lines, descriptors):
                loop.call_later(_SEND_AGAIN, self._send_waiting, loop)
                return
            self._unsent.popleft()
            for each in descriptors:
                os.close(each)

    def _is_sent(self, lines: Sequence[str], descriptors: Sequence[int]) -> bool:
        """Send a message; False if there is no room for it yet. One that cannot be sent at all is
        let go."""
        rights = array.array("i", descriptors)
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_SEND_TIMEOUT)
                out.connect(self._address)
                out.sendmsg(["\n".join(lines).encode()], attached)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            log.warning("the service manager does not listen (%s): %s", error, lines[0])
        return True


def _address(text: str) -> str:
    """The address of $NOTIFY_SOCKET: a path, or "@" for an abstract one. Others are not local."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog(environment: MutableMapping[str, str]) -> float | None:
    """$WATCHDOG_USEC, if it is meant for this process (sd_watchdog_enabled(3))."""
    microseconds = environment.pop("WATCHDOG_USEC", "")
    addressee = environment.pop("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or addressee != str(os.getpid()):
        return None
    return int(microseconds) / 2e6 or None


def _take_descriptors(environment: MutableMapping[str, str]) -> dict[str, list[int]]:
    """The descriptors that were handed over, by name (sd_listen_fds_with_names(3))."""
    addressee = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if addressee != str(os.getpid()) or not count.isdecimal():
        return {}
    given: dict[str, list[int]] = {}
    for index in range(int(count)):
        descriptor = _FIRST_DESCRIPTOR + index
        try:
            os.set_inheritable(descriptor, False)
        except OSError:  # the manager counted one more than there is
            continue
        name = names[index] if index < len(names) else "unknown"
        given.setdefault(name, []).append(descriptor)
    return given


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _one_line(value: str | int) -> str:
    return " ".join(str(value).splitlines())
