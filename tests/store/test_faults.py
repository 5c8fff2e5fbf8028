"""Nothing acknowledged is lost and nothing refused is kept, whatever the process and disk do."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .writer import content

CHANGES = 60
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def run(*command: str | Path) -> list[str]:
    """The lines that a program prints; it may take half a minute."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def write_with_failing(directory: Path, faults: str) -> list[str]:
    """Run the writer with `faults` injected into its system calls; the lines it prints."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    calls = faults.partition(":")[0]
    options = ["-f", "--seccomp-bpf", "-o", "/dev/null", f"-etrace={calls}", f"-einject={faults}"]
    writer = [sys.executable, "-m", "tests.store.writer"]
    return run(strace, *options, *writer, directory, str(CHANGES), directory / "copies")


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ("fsync,fdatasync:error=EIO:when=11+7", "the disk reported an error (SQLITE_IOERR_FSYNC)"),
        ("fsync,fdatasync:error=EIO:when=9+11", "the disk reported an error (SQLITE_IOERR_FSYNC)"),
        ("fsync,fdatasync:error=EIO:when=13..40", "the disk reported an error (SQLITE_IOERR_FSY"),
        ("pwrite64:error=EIO:when=31+29", "the disk reported an error (SQLITE_IOERR_WRITE)"),
        ("pwrite64:error=EROFS:when=35..60", "the disk reported an error (SQLITE_IOERR_WRITE)"),
        ("pwrite64:error=ENOSPC:when=32+17", "no space left on the disk (SQLITE_FULL)"),
    ],
)
def test_a_failing_disk(tmp_path: Path, faults: str, reason: str) -> None:
    """Refused changes are not found after a crash right then, acknowledged ones are, and changes
    succeed again once the disk does."""
    lines = write_with_failing(tmp_path, faults)
    last = 0
    refused = 0
    for line in lines:
        outcome, number, *rest = line.split(maxsplit=2)
        if outcome == "stored":
            last = int(number)
        else:
            refused += 1
            assert reason in rest[0]
            assert content(tmp_path / "copies" / number / "state.db").change == last
    assert len(lines) == CHANGES
    assert refused > 3
    assert last > CHANGES / 2
    assert content(tmp_path / "state.db").change == last


def test_a_failing_copy_of_the_log_refuses_nothing(tmp_path: Path) -> None:
    """A change is durable in the log: that the log cannot be emptied at present is no reason."""
    lines = write_with_failing(tmp_path, "ftruncate:error=EIO:when=1+1")
    assert lines == [f"stored {number}" for number in range(1, CHANGES + 1)]
    assert content(tmp_path / "state.db").change == CHANGES


@pytest.mark.kernel
def test_a_full_disk(tmp_path: Path) -> None:
    """Changes are refused with the reason; the store opens and reads; then all is well again."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    program = [sys.executable, "-m", "tests.store.full_disk"]
    lines = run("unshare", "--mount", *program, tmp_path)
    refusal = f"refused: cannot write {tmp_path}/state.db: no space left on the disk (SQLITE_FULL)"
    refused = [line for line in lines if refusal in line]
    stored = [line.split()[0] for line in lines if line.endswith("stored")]
    assert len(refused) + len(stored) == 8
    assert refused[0].endswith("(free some space, then try again)")
    assert [line.split()[0] for line in refused[-3:]] == ["w4", "w5", "w7"]
    assert lines[6:] == [
        "holds " + " ".join(stored[:-1]),
        lines[7],
        "w8 stored",
        "holds " + " ".join(stored),
    ]


def _kill(directory: Path, kills: int) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    lines = run(sys.executable, "-m", "tests.store.killer", directory, str(kills), str(seed))
    assert int(lines[-1]) > 0  # how many were acknowledged: on a busy machine not one a life


def test_killed_writers(tmp_path: Path) -> None:
    """50 times: every acknowledged change is there after a SIGKILL, and no change by halves."""
    _kill(tmp_path, 50)


@pytest.mark.long
def test_killed_writers_for_long(tmp_path: Path) -> None:
    """The same, 400 times over and on one file."""
    _kill(tmp_path, 400)
