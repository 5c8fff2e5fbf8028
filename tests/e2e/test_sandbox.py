"""`make sandbox` opens a shell on a private host, and leaves nothing when it ends."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests.support import leftovers
from tests.support.machine import ROOT

pytestmark = pytest.mark.kernel

NAMES = ["sandboxed"]


def test_the_sandbox_is_a_shell_with_volt_running() -> None:
    """On a terminal: it says what to try, `volt` works, containers start, and exit ends it all."""
    before = leftovers.machine(NAMES)
    terminal, other_end = pty.openpty()
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "scripts.sandbox"],
        cwd=ROOT,
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
    )
    os.close(other_end)
    try:
        read_until(terminal, "(volt sandbox)")
        os.write(terminal, b"volt net connect volt0 sandboxed && ip netns add sandboxed\n")
        ask = b"until ip netns exec sandboxed getent hosts sandboxed; do sleep 0.1; done; volt ps\n"
        os.write(terminal, ask)
        shown = read_until(terminal, "volt0    10.0.0.2")
        assert "sandboxed.volt.local" in shown
        os.write(terminal, b"exit\n")
        read_until(terminal, "The sandbox is gone.")
        assert sandbox.wait(10) == 0
    finally:
        sandbox.kill()
        sandbox.wait()
        os.close(terminal)
    assert leftovers.machine(NAMES) == before


def read_until(terminal: int, expected: str, within: float = 60) -> str:
    """Everything that the terminal shows up to `expected`."""
    shown, deadline = "", time.monotonic() + within
    while expected not in shown:
        readable, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert readable, f"{expected!r} did not appear:\n{shown}"
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
