"""Which parts of the agent are on: the name server and the ingress can be switched off.

For the service manager each of them is a unit of its own (volt-dns.service, volt-ingress.service):
whether it is started is kept as a file in `directory`, which outlives the agent and ends with the
boot. Without a directory nobody manages them, and all are on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .config import Config
from .control.messages.agent import Part
from .errors import Failed, Refused


class Switches:
    """The state of each part. Reads and writes a file system in memory (/run)."""

    def __init__(self, directory: str | None) -> None:
        self._directory = None if directory is None else Path(directory)
        self._off: set[Part] = set()
        if self._directory is not None:
            parts: tuple[Part, ...] = ("dns", "ingress")
            self._off = {each for each in parts if not (self._directory / each).exists()}

    def __repr__(self) -> str:
        return f"<Switches [off: {', '.join(sorted(self._off)) or 'none'}]>"

    def is_on(self, part: Part) -> bool:
        return part not in self._off

    def put(self, part: Part, on: bool) -> None:
        """Switch, and remember it for the agents of this boot. Raises Failed; nothing changes."""
        if self._directory is not None:
            try:
                self._write(self._directory / part, on)
            except OSError as error:
                raise Failed(f"cannot keep the state of {part}: {error.strerror}") from None
        (self._off.discard if on else self._off.add)(part)

    @staticmethod
    def _write(path: Path, on: bool) -> None:
        if on:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.touch(mode=0o644)
        else:
            path.unlink(missing_ok=True)


def check_switchable(part: Part, on: bool, config: Config) -> None:
    """Raises Refused for what the configuration has switched off for good."""
    key, allowed = {
        "dns": ("network.dns.enabled", config.network.dns.enabled),
        "ingress": ("ingress.enabled", config.ingress.enabled),
    }[part]
    if on and not allowed:
        raise Refused(f"{key} is false in the configuration", f"set it, or disable volt-{part}")


def state_of(part: Part, on: bool, listening: Sequence[object]) -> str:
    """A sentence for people; `listening` are addresses of the name server, ports of the ingress."""
    if not on:
        return "off"
    where = ", ".join(map(str, listening))
    if part == "dns":
        return f"on: answers names on {where}" if where else "on: there is no network yet"
    return f"on: listens on {where}" if where else "on: listens once there is a route"
