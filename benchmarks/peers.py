"""Programs that do a part of what volt does, unpacked by `make peers`, never installed."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.support.host import Host
from tests.support.machine import ROOM, ROOT
from tests.support.process import Process

UNPACKED = ROOT / ".cache" / "peers"


def find(name: str) -> str:
    """The path of a peer's program. Ends the benchmark if it is missing."""
    for directory in ("usr/sbin", "usr/bin"):
        path = UNPACKED / directory / name
        if path.exists():
            return str(path)
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is missing: run `make peers` first")
    return found


def libraries() -> str:
    """Where the unpacked programs find their libraries (LD_LIBRARY_PATH)."""
    return ":".join(str(path) for path in UNPACKED.glob("usr/lib/*"))


class Dnsmasq:
    """dnsmasq on 127.0.0.1 in a private host, with `names` names in a hostsdir."""

    SERVER = "127.0.0.1"

    def __init__(self, host: Host, names: int) -> None:
        self._host = host
        self._room = ROOM / "dnsmasq"
        self.directory.mkdir(exist_ok=True)
        for number in range(names):
            self.write(f"w{number}", f"10.64.{number // 250}.{number % 250 + 2}")
        self.process: Process = host.start(
            find("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
            "--no-hosts", "--no-resolv", f"--listen-address={self.SERVER}", "--bind-interfaces",
            f"--hostsdir={self._room}", "--pid-file=", "--log-facility=/dev/null", "--local=/#/",
            environment={"LD_LIBRARY_PATH": libraries()},
        )  # fmt: skip
        host.traffic.await_name("host", self.SERVER, "w0", "10.64.0.2", 20)

    @property
    def directory(self) -> Path:
        """The hostsdir, as seen from outside."""
        return self._host.path(self._room)

    def write(self, name: str, address: str) -> float:
        """Add a name, as a file that appears whole; returns when (monotonic)."""
        unfinished = self._host.path(ROOM) / f"{name}.new"
        unfinished.write_text(f"{address} {name}\n")
        began = time.monotonic()
        unfinished.rename(self.directory / name)
        return began

    def __enter__(self) -> Dnsmasq:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.end()
