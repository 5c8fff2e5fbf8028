"""Kills writers at random moments, and looks each time whether everything acknowledged is there.

`python -m tests.store.killer DIRECTORY KILLS SEED` prints the number of the last change.
Each writer is a fork of this process: a kill costs milliseconds and not the start of Python.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from .writer import content, open_database, write

# Long enough for some twenty changes, so that kills hit opening, writing and copying of the log.
LIFE_MAX = 0.02


def main(directory: str, kills: str, seed: str) -> None:
    path = Path(directory) / "state.db"
    moments = random.Random(int(seed))
    last = 0
    for _ in range(int(kills)):
        acknowledged = kill_a_writer(path, last, moments.uniform(0, LIFE_MAX))
        last = check(path, acknowledged)
    print(last)


def kill_a_writer(path: Path, last: int, life: float) -> int:
    """Let a writer go on after change `last` for `life` seconds; the last one it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        write_for_ever(path, last, writing)
    os.close(writing)
    time.sleep(life)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        lines = pipe.read().split()
    return int(lines[-1]) if lines else last


def write_for_ever(path: Path, last: int, acknowledge: int) -> None:
    opened = open_database(path)
    while True:
        write(opened, last + 1, last)
        last += 1
        os.write(acknowledge, b"%d\n" % last)


def check(path: Path, acknowledged: int) -> int:
    """The change that the store holds: the last acknowledged one, or the one after it."""
    found = content(path)
    assert found.change == found.revision
    assert found.change in (acknowledged, acknowledged + 1), (found, acknowledged)
    return found.change


if __name__ == "__main__":
    main(*sys.argv[1:])
