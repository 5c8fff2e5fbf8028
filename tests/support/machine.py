"""A private machine: network, mounts and processes of its own, gone without a trace when closed.

It has `eth0` (192.0.2.1/24) towards an outside host (192.0.2.2), its own /run and /etc, and no
other way out. As a normal user it runs in a user namespace, where its processes are root.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from . import leftovers
from .process import PATIENCE, Process, wait_until
from .traffic_control import TrafficControl

ROOT = Path(__file__).resolve().parents[2]
ROOM = Path("/run/host")  # inside: state, configuration, logs; a tmpfs that goes with the machine
DONE_WITHIN = 120  # seconds until a machine must have done what it was asked

# What the caller's environment may not tell a process inside.
FOREIGN = ("VOLT_", "LISTEN_", "NOTIFY_SOCKET", "XDG_")

Result = subprocess.CompletedProcess[str]


class Machine:
    """See the module. `interpreter` runs every Python program inside."""

    room = ROOM

    def __init__(
        self,
        *,
        before: Sequence[str] = (),
        interpreter: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`before` goes in front of every command that is started, to become another user;
        `environment` adds to that of every process inside."""
        self._interpreter = interpreter
        self.environment = self._make_environment(environment or {})
        self._before = list(before)
        self._rootless = bool(before) or os.geteuid() != 0
        self._numbers = itertools.count()
        self._namespaces: set[str] = set()
        self._started: list[Process] = []
        self.traffic = TrafficControl(self.do)
        self._first = self._start()
        try:
            self.pid = self._first_process()
            self._namespaces = set(leftovers.namespaces_of(self.pid).values()) - set(
                leftovers.namespaces_of("self").values()
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pid} [{'rootless' if self._rootless else 'root'}]>"

    def close(self) -> None:
        """End the host and everything in it; raises AssertionError if a process survives."""
        self._requests.close()  # the first process ends, and the kernel ends all others with it
        try:
            self._first.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._first.kill()
            self._first.wait()
        self._replies.close()
        for process in self._started:
            process.forget()
        try:
            wait_until(lambda: not self.processes(), "all processes ended")
        except TimeoutError:
            raise AssertionError(f"{self} left processes behind: {self.processes()}") from None

    def processes(self) -> list[int]:
        """Every process of the machine, by its id outside."""
        return leftovers.processes_in(self._namespaces)

    # ---- inside ---------------------------------------------------------------------------------

    def path(self, inside: str | Path) -> Path:
        """A path of the host, as seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def enter(self, *argv: str, where: str = "host") -> list[str]:
        """The command that runs `argv` inside: in the host itself, "outside", or in a workload."""
        own = ["--user", "--preserve-credentials"] if self._rootless else []
        enter = [*self._before, "nsenter", f"--target={self.pid}", *own]
        through = {"host": [], "outside": ["nsenter", f"--net={self.room}/outside"]}
        return [
            *enter,
            "--net",
            "--mount",
            "--pid",
            "--",
            *through.get(where, ["ip", "netns", "exec", where]),
            *argv,
        ]

    def python(self, *arguments: str) -> list[str]:
        """The command that runs a Python program inside."""
        return [self._interpreter, *arguments]

    def run(
        self,
        *argv: str,
        where: str = "host",
        check: bool = True,
        within: float = PATIENCE,
        input: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command inside and wait for it; with `check`, a failure raises AssertionError."""
        done = subprocess.run(
            self.enter(*argv, where=where),
            env=self.environment | dict(environment or {}),
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=within,
            **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}),
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def start(
        self,
        *argv: str,
        where: str = "host",
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Process:
        """Start a command inside, in a session of its own; `options` go to subprocess.Popen."""
        process = Process(
            self.enter(*argv, where=where),
            env=self.environment | dict(environment or {}),
            cwd=ROOT,
            **({"stdin": subprocess.DEVNULL} | options),
        )
        self._started.append(process)
        return process

    def do(self, what: str, **arguments: Any) -> Any:
        """Ask the host's first process (`inside.commands`) and wait for what it says."""
        number = next(self._numbers)
        request = {"id": number, "do": what, "with": arguments}
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        line = self._read_line(DONE_WITHIN)
        if not line:
            raise InsideError(f"{self} has ended, or {what} took more than {DONE_WITHIN} s")
        reply = json.loads(line)
        assert reply["id"] == number, "one request at a time"
        if "error" in reply:
            raise InsideError(f"{what}: {reply['error']}")
        return reply["result"]

    # ---- making it ------------------------------------------------------------------------------

    def _make_environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        path = f"{self.room}/bin:{kept.get('PATH', '')}:/usr/sbin:/sbin"
        own = {
            "PATH": path,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}:{kept.get('PYTHONPATH', '')}".rstrip(":"),
            "VOLT_CONFIG": f"{self.room}/config.yaml",
            "VOLT_STATE_DIR": f"{self.room}/state",
        }
        return kept | own | dict(more)

    def _start(self) -> subprocess.Popen[str]:
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        user = ["--user", "--map-root-user"] if self._rootless else []
        command = [self._interpreter, "-m", "tests.support.inside"]
        return subprocess.Popen(
            [*self._before, *unshare, *user, *command],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _first_process(self) -> int:
        if self._read_line(PATIENCE) != "ready\n":
            raise AssertionError("the private host did not come up; what it said stands above")
        unshare = self._first.pid
        return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])

    @property
    def _requests(self) -> IO[str]:
        assert self._first.stdin is not None
        return self._first.stdin

    @property
    def _replies(self) -> IO[str]:
        assert self._first.stdout is not None
        return self._first.stdout

    def _read_line(self, within: float) -> str:
        readable, _, _ = select.select([self._replies], [], [], within)
        return self._replies.readline() if readable else ""


class InsideError(AssertionError):
    """The host's first process could not do what it was asked."""
