"""A compose project on a host where the agent runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.host import Host

LISTS = ("ps", "net.list", "net.port.list")


class Shop:
    """A project on a host; `up` writes the file and brings it up."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.path = host, directory / "compose.yaml"

    def compose(self, command: str, *more: str) -> dict[str, Any]:
        options = ("-f", str(self.path), "-p", "shop", "-o", "json")
        done = self.host.volt("compose", command, *options, *more)
        report = json.loads(done.stdout)
        assert isinstance(report, dict)
        return report

    def up(self, text: str, *more: str) -> list[str]:
        """The steps that were done."""
        self.path.write_text(text)
        report = self.compose("up", *more)
        state = "planned" if more else "done"
        assert {each["state"] for each in report["steps"]} <= {state}
        assert report["changed"] == bool(report["steps"])
        return [f"{each['action']} {each['what']}" for each in report["steps"]]

    def refusal(self, text: str) -> str:
        self.path.write_text(text)
        done = self.host.volt("compose", "up", "-f", str(self.path), "-p", "shop", check=False)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        return str(done.stderr)

    def state(self) -> list[Any]:
        """All that users see of the host, and what the kernel has."""
        seen = [self.host.call(each) for each in LISTS]
        links = self.host.run("ip", "-br", "link").stdout.splitlines()
        names = sorted(each.split()[0] for each in links)
        return [*seen, names]
