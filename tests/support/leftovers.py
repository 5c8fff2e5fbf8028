"""What would still be there after a private host is gone, and must not be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

KINDS = ("net", "mnt", "pid", "user")
VOLTS_LINKS = ("volt", "vc-", "vt-")


def namespaces_of(pid: int | str) -> dict[str, str]:
    """The namespaces of a process by kind, as `net:[4026531840]`; empty if it is gone."""
    found = {}
    for kind in KINDS:
        with suppress(OSError):
            found[kind] = os.readlink(f"/proc/{pid}/ns/{kind}")
    return found


def processes_in(namespaces: Iterable[str]) -> list[int]:
    """The processes that are in one of these namespaces, as far as the caller may see."""
    wanted = set(namespaces)
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and wanted & set(namespaces_of(entry.name).values())
        and not _has_ended(entry.name)
    ]


def _has_ended(pid: str) -> bool:
    """Whether only its exit status is left, which its parent has yet to take."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def machine(names: Iterable[str] | None = None) -> dict[str, object]:
    """What a private host could have left on the machine itself: compare before and after.

    With `names` only links that volt would make and namespaces of these names: on a machine in use
    others come and go meanwhile. Without, everything.
    """
    wanted = None if names is None else set(names)
    links = os.listdir("/sys/class/net")
    return {
        "links": sorted(each for each in links if wanted is None or each.startswith(VOLTS_LINKS)),
        "named namespaces": _listing("/run/netns", wanted),
        "resolv.conf of namespaces": _listing("/etc/netns", wanted),
        "mounts": _mount_points() if wanted is None else [],
        "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        "volt's files": [
            path for path in ("/run/volt", "/var/lib/volt", "/etc/volt") if os.path.exists(path)
        ],
    }


def added(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    """What is in `after` and was not in `before`: what has been left behind or changed."""
    found: dict[str, object] = {}
    for key, value in after.items():
        known = before[key]
        if isinstance(value, list) and isinstance(known, list):
            new: object = [each for each in value if each not in known]
        else:
            new = value if value != known else None
        if new:
            found[key] = new
    return found


def _listing(directory: str, wanted: set[str] | None) -> list[str]:
    try:
        return sorted(each for each in os.listdir(directory) if wanted is None or each in wanted)
    except FileNotFoundError:
        return []


def _mount_points() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4] for line in lines)
