"""A process inside a private host, held from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")

# Seconds for what takes milliseconds: a guard, which a busy machine must never reach.
PATIENCE = 60.0


class Process:
    """A command started through nsenter: `pid` is the command's, not nsenter's.

    nsenter ends when the command does, with the same status; it does not pass signals on.
    """

    def __init__(self, argv: Sequence[str], **options: Any) -> None:
        self.entering: subprocess.Popen[str] = subprocess.Popen(
            argv, text=True, start_new_session=True, **options
        )
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The command's process id in the namespace of the caller."""
        if self._pid is None:
            self._pid = wait_until(self._find, "nsenter started its command")
        return self._pid

    @property
    def pid_inside(self) -> int:
        """The command's process id in its own pid namespace."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])

    @property
    def stdin(self) -> IO[str]:
        assert self.entering.stdin is not None
        return self.entering.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self.entering.stdout is not None
        return self.entering.stdout

    def poll(self) -> int | None:
        return self.entering.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself."""
        os.kill(self.pid, number)

    def wait(self, within: float = PATIENCE) -> int:
        """The exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        return self.entering.wait(within)

    def end(self, how: signal.Signals = signal.SIGTERM, within: float = PATIENCE) -> int:
        """Signal the command and wait for its end; after `within` seconds it is killed."""
        if self.poll() is None:
            self.send(how)
        try:
            return self.wait(within)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait()
            raise

    def forget(self) -> None:
        """Take the status of a command that ended with its machine, and close its pipes."""
        self.wait()
        for pipe in (self.entering.stdin, self.entering.stdout, self.entering.stderr):
            if pipe is not None:
                pipe.close()

    def resident_bytes(self) -> int:
        """VmRSS of the command."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError(f"process {self.pid} is gone")

    def _find(self) -> int | None:
        if self.entering.poll() is not None:
            raise ProcessLookupError(f"ended at once with status {self.entering.returncode}")
        own = self.entering.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return int(children[0]) if children else None


def wait_until(look: Callable[[], T | None], promise: str, within: float = PATIENCE) -> T:
    """Look again and again until it returns something true; raises TimeoutError with `promise`."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s: {promise}")
        time.sleep(0.01)
