"""Run a private host as a user without any rights, although the tests run as root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

NOBODY = 65534  # Debian's "nobody"


def become(uid: int = NOBODY) -> list[str]:
    """The command that runs the rest of its line as another user, without capabilities."""
    if os.geteuid() != 0:
        return []
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    # setpriv still has root's capabilities while it looks up what to run; env has none left.
    return [*drop, "env"]


@functools.cache
def interpreter() -> str | None:
    """A Python of this version that any user may run, or None.

    That of the virtual environment may lie in a home directory which others cannot enter.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if shutil.which(path) and _runs([path, "-c", "pass"]):
            return path
    return None


def machine_options() -> dict[str, Any]:
    """The arguments of `Machine` for such a host. Only where `can_run`."""
    return {
        "before": become(),
        "interpreter": interpreter(),
        "environment": {"PYTHONPATH": python_path(), "HOME": "/nonexistent"},
    }


def python_path() -> str:
    """Where a foreign interpreter finds volt, the tests and every dependency."""
    from .machine import ROOT

    return f"{ROOT / 'src'}:{ROOT}:{sysconfig.get_path('platlib')}"


def can_run() -> bool:
    """Whether such a user has a Python and may make user namespaces here."""
    return interpreter() is not None and _runs(["unshare", "-Urn", "true"])


def _runs(command: list[str]) -> bool:
    return subprocess.run([*become(), *command], capture_output=True, cwd="/").returncode == 0
