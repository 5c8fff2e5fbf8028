"""Runs commands in turns and measures each process (inside a private host).

stdin: a JSON list of commands; argument: how many rounds; stdout: for each command a list of
`{"wall", "cpu"}` in seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time


def measure(command: list[str]) -> dict[str, float]:
    """Run one command, its output thrown away. Raises ChildProcessError if it fails."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - began
    if status != 0:
        raise ChildProcessError(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}


def main() -> None:
    commands = json.load(sys.stdin)
    for command in commands:
        measure(command)  # once for the page cache
    rounds = [[measure(command) for command in commands] for _ in range(int(sys.argv[1]))]
    json.dump([list(column) for column in zip(*rounds, strict=True)], sys.stdout)


if __name__ == "__main__":
    main()
