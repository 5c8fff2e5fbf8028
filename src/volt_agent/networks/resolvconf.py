"""The resolv.conf of named namespaces: ip-netns(8) mounts /etc/netns/NAME over /etc.

A file that volt did not write is never touched. Blocking: call it off the loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/etc/netns")
MARK = "# Written by volt; removed when the workload stops.\n"


def content(nameserver: IPv4Address, search_domains: Sequence[str]) -> str:
    """The file's text (resolv.conf(5))."""
    search = f"search {' '.join(search_domains)}\n" if search_domains else ""
    return f"{MARK}nameserver {nameserver}\n{search}"


class ResolvConf:
    """Writes and removes the files; says once when it may not (an unprivileged user namespace)."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._may_write = True

    def write(self, namespace: str, text: str) -> None:
        """Put `text` in place atomically, unless somebody else's file is there."""
        path = self._root / namespace / "resolv.conf"
        present = _read(path)
        if present == text or (present is not None and not present.startswith(MARK)):
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o755)  # whatever the umask of the agent is: everybody reads it
            temporary = path.with_name(".resolv.conf.volt")
            temporary.write_text(text)
            temporary.chmod(0o644)
            os.replace(temporary, path)
        except OSError as error:
            if self._may_write:
                log.warning("cannot write %s: %s; workloads keep the host's", path, error.strerror)
            self._may_write = False

    def remove(self, namespace: str) -> None:
        """Take volt's file away, and the folder if nothing else is in it."""
        path = self._root / namespace / "resolv.conf"
        present = _read(path)
        if present is None or not present.startswith(MARK):
            return
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()

    def remove_all(self, keep: Sequence[str] = ()) -> None:
        """Take away every file of volt's but those of the namespaces in `keep`."""
        with contextlib.suppress(OSError):
            for each in self._root.iterdir():
                if each.name not in keep:
                    self.remove(each.name)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
