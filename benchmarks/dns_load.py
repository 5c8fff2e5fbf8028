"""Load on a name server, and what it costs the server: each pinned to a core of its own.

CPU time is the kernel's figure for the server's threads (nanoseconds on a core, its share of the
network stack included), so it does not depend on who else keeps the machine busy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support.host import Host
from tests.support.machine import ROOM
from tests.support.process import Process

SERVER_CORE, LOAD_CORE = "0", "1"


class Load(NamedTuple):
    """What a server did: CPU in microseconds per query, queries per second, and what was amiss."""

    cpu_us: float
    qps: float
    lost: int
    failed: int  # answers with another rcode than NOERROR


def pinned(core: str, *argv: str) -> tuple[str, ...]:
    return ("taskset", "--cpu-list", core, *argv)


def questions(host: Host, file: str, names: Iterable[str]) -> str:
    """Write names to ask for into a file; its path inside the host."""
    inside = ROOM / file
    host.path(inside).write_text("\n".join(names))
    return str(inside)


def cpu_ns(process: Process) -> int:
    """CPU time of all threads so far (/proc/PID/task/TID/schedstat, first field)."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def load(host: Host, process: Process, server: str, source: str, file: str, seconds: float) -> Load:
    """Ask `server` for `seconds` (0: each name once); what that cost `process`."""
    blast = ("-m", "benchmarks.inside_blast", server, source, file, str(seconds))
    before = cpu_ns(process)
    report = json.loads(host.run(*pinned(LOAD_CORE, *host.python(*blast)), within=120).stdout)
    spent, done = cpu_ns(process) - before, max(report["completed"], 1)
    return Load(
        cpu_us=spent / done / 1000,
        qps=report["completed"] / report["seconds"],
        lost=report["lost"],
        failed=report["completed"] - report["rcodes"].get("0", 0),
    )
