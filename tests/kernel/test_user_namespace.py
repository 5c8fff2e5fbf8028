"""An agent without any rights on the machine, root of a user namespace only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# /root may be closed to nobody, and with it the interpreter of a virtual environment.
INTERPRETERS = (sys.executable, "/usr/bin/python3")


def test_everything_works_or_says_why_not() -> None:
    """Bridges, containers, settings, conntrack and both listeners; one line about the buffer."""
    done = as_nobody("unshare", "-Urnm", interpreter(), "-m", "tests.kernel.in_user_namespace")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("netlink buffers of") == 1
    assert told.pop("tap") in (
        "made",
        "cannot create tap vt-1 on volt-backend: /dev/net/tun cannot be opened (Permission denied)",
    )
    assert told == {
        "netfilter": True,
        "port": True,
        "inside": ["eth0", "lo"],
        "ipv6": "1",
        "forwarding": "1",
        "forgotten": 0,
        "left": ["lo", "vt-1"] if "vt-1" in told["left"] else ["lo"],
    }


def interpreter() -> str:
    """A Python that nobody may run and that finds what volt needs."""
    for candidate in INTERPRETERS:
        if as_nobody(candidate, "-c", "import msgspec, pyroute2, pytest").returncode == 0:
            return candidate
    pytest.skip("no Python here that user nobody may run")


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    packages = next(each for each in sys.path if each.endswith("site-packages"))
    environment: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        return subprocess.run(
            command,
            cwd="/",
            env=environment,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
