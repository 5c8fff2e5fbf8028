"""`make demo` works for root and for everybody else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import leftovers, rootless
from tests.support.machine import ROOT

pytestmark = pytest.mark.kernel

TABLES = [
    "NAME KIND RUNTIME STATE",  # volt ps
    "NAME BRIDGE SUBNET GATEWAY",  # volt net list
    "NAME TYPE ADDRESS NETWORK WORKLOAD",  # volt net dns list
]
EFFECTS = [
    "agent ready",
    "api-server is 10.30.0.",
    "db-primary is 10.30.0.",
    "the name db-primary is gone",
]


@pytest.mark.parametrize("who", ["root", "user"])
def test_the_demo_shows_the_main_job_and_leaves_nothing(who: str) -> None:
    """It ends with 0 and has shown every table and every effect; the machine is as before."""
    before = leftovers.machine(["api-server", "db-primary"])
    done = _run(who)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    for expected in TABLES + EFFECTS:
        assert expected in shown, done.stdout
    assert leftovers.machine(["api-server", "db-primary"]) == before


def test_the_demo_fails_when_something_is_wrong() -> None:
    """An agent that cannot start is an error, with its reason, and no traceback."""
    done = _run("root", VOLT_DEMO_CONFIG="network: {mtu: many}")
    assert done.returncode == 1
    assert "network.mtu" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def _run(who: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command, more = [sys.executable], environment
    if who == "user":
        if not rootless.can_run():
            pytest.skip("no user namespaces for normal users here, or no Python they may run")
        command = [*rootless.become(), str(rootless.interpreter())]
        more = environment | {"PYTHONPATH": rootless.python_path()}
    return subprocess.run(
        [*command, "-m", "scripts.demo"],
        cwd=ROOT,
        env=os.environ | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
