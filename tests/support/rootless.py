"""Run a private host as a user without any rights, although the tests run as root.

The checkout may lie where no other user may go (/root, a private temporary folder). Then such a
user sees it at PUBLIC, in a mount namespace of its own.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

NOBODY = 65534  # Debian's "nobody"
ROOT = Path(__file__).resolve().parents[2]
PUBLIC = Path("/mnt")
_BIND = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"'


def become(uid: int = NOBODY) -> list[str]:
    """The command that runs the rest of its line as another user, without capabilities."""
    if os.geteuid() != 0:
        return []
    if _may_enter_the_checkout():
        return _drop(uid)
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BIND, "sh"]
    return [*unshare, str(ROOT), str(PUBLIC), *_drop(uid)]


def _drop(uid: int) -> list[str]:
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    # setpriv still has root's capabilities while it looks up what to run; env has none left.
    return [*drop, "env"]


@functools.cache
def _may_enter_the_checkout() -> bool:
    if os.geteuid() != 0:
        return True
    look = [*_drop(NOBODY), "test", "-r", str(ROOT / "pyproject.toml")]
    return subprocess.run(look, cwd="/").returncode == 0


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
        "environment": {
            "PYTHONPATH": python_path(),
            "PYTHONPYCACHEPREFIX": "",  # where it is, this user cannot go
            "HOME": "/nonexistent",
        },
    }


def python_path() -> str:
    """Where a foreign interpreter finds volt, the tests and every dependency."""
    paths = f"{ROOT / 'src'}:{ROOT}:{sysconfig.get_path('platlib')}"
    return paths if _may_enter_the_checkout() else paths.replace(str(ROOT), str(PUBLIC))


@functools.cache
def can_run() -> bool:
    """Whether such a user has a Python, can read the checkout and may make user namespaces."""
    python = interpreter()
    if python is None or not _runs(["unshare", "-Urn", "true"]):
        return False
    return _runs(["env", f"PYTHONPATH={python_path()}", python, "-c", "import volt_agent, msgspec"])


def _runs(command: list[str]) -> bool:
    return subprocess.run([*become(), *command], capture_output=True, cwd="/").returncode == 0
