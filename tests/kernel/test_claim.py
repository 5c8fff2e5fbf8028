"""One agent per network namespace, whatever its socket and state directory are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.kernel

CLAIM = "from volt_agent.kernel.claim import claim_namespace; c = claim_namespace(); print('mine')"
IN_NEW_NAMESPACE = """
import ctypes, subprocess, sys
assert ctypes.CDLL(None).unshare(0x40000000) == 0
"""


def in_new_namespace(then: str) -> str:
    """What a Python that has entered a network namespace of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", IN_NEW_NAMESPACE + then],
        text=True,
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        timeout=60,
    )
    return done.stdout


def test_a_second_agent_is_refused_and_told_who_is_there() -> None:
    """The process that holds the claim is named."""
    said = in_new_namespace(
        CLAIM
        + """
from volt_agent.errors import Refused
try:
    claim_namespace()
except Refused as error:
    import os
    print(str(os.getpid()) in error.message)
"""
    )
    assert said.split() == ["mine", "True"]


def test_a_claim_ends_with_its_process() -> None:
    """However it ends: the next agent finds the way free."""
    run = f"subprocess.run([sys.executable, '-c', {CLAIM!r}], check=True)\n"
    assert in_new_namespace(run + run).split() == ["mine", "mine"]


def test_another_user_cannot_keep_the_agent_out() -> None:
    """A name that anybody may take counts only in the right hands."""
    squatter = (
        "import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
        "s.bind('\\0volt-agent'); s.listen(); print('taken', flush=True); input()"
    )
    said = in_new_namespace(
        f"""
held = subprocess.Popen(
    [sys.executable, "-S", "-c", {squatter!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
print(held.stdout.readline().decode().strip())
{CLAIM}
held.communicate(b"\\n")
"""
    )
    assert said.split() == ["taken", "mine"]
