"""Virtual machines on taps of volt: a QEMU guest with Debian's kernel, and user-mode Linux.

They are driven over their console: `guest.run("ip address")` is what the guest's shell says.
"""

from __future__ import annotations

import re
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .initramfs import initramfs
from .process import Process
from .systemd_host import IMAGE, SystemdHost

BOOT_WITHIN, ANSWER_WITHIN = 300, 60  # seconds; emulated processors are slow


class Guest:
    """A running virtual machine. `connection` is what `volt net connect --kind vm` said."""

    def __init__(self, host: SystemdHost, name: str, connection: dict[str, Any]) -> None:
        self.name = name
        self._heard = ""
        archive = host.room / f"{name}.cpio"
        host.path(archive).write_bytes(self.first_root())
        # A user-mode kernel is several processes: a process namespace ends them together.
        alone = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
        self._process: Process = host.start(
            *alone,
            *self.command(name, str(archive), connection),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._await("GUEST UP", BOOT_WITHIN)

    def first_root(self) -> bytes:
        """Its root file system, an archive that the kernel unpacks into memory."""
        return initramfs(IMAGE, self.modules())

    def modules(self) -> Path | None:
        """Where the kernel's modules are, if it needs any."""
        raise NotImplementedError

    def command(self, name: str, archive: str, connection: dict[str, Any]) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def run(self, command: str, within: float = ANSWER_WITHIN) -> str:
        """Run a line of shell in the guest; AssertionError, with what it said, if it fails."""
        said, status = self.try_(command, within)
        assert status == 0, f"{self.name}: {command} ended with {status}:\n{said}"
        return said

    def try_(self, command: str, within: float = ANSWER_WITHIN) -> tuple[str, int]:
        """The same, whatever comes of it: what it said, and its exit status."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        said, status = self._await(r"END (\d+)\n", within)
        return said, int(status)

    def stop(self) -> None:
        """Pull the plug."""
        self._process.end(signal.SIGKILL)

    def _await(self, pattern: str, within: float) -> tuple[str, str]:
        """What it says before `pattern`, and what the pattern's last group has found."""
        deadline = time.monotonic() + within
        while True:
            found = re.search(pattern, self._heard)
            if found is not None:
                said, self._heard = self._heard[: found.start()], self._heard[found.end() :]
                return said, found[found.re.groups]
            out = self._process.stdout
            readable, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
            more = out.buffer.read1(65536).decode(errors="replace") if readable else ""  # type: ignore[attr-defined]
            if not more:
                raise AssertionError(f"{self.name} did not say {pattern}:\n{self._heard[-3000:]}")
            self._heard += more.replace("\r", "")


class QemuGuest(Guest):
    """QEMU without KVM, with the network option that volt prints."""

    memory = "128"  # MiB

    def modules(self) -> Path | None:
        return next((IMAGE / "usr/lib/modules").iterdir()) / "kernel"

    def command(self, name: str, archive: str, connection: dict[str, Any]) -> list[str]:
        kernel = next((IMAGE / "boot").glob("vmlinuz-*"))
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", self.memory),
            *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
            *("-kernel", f"/boot/{kernel.name}", "-initrd", archive),
            *("-append", f"console=ttyS0 quiet panic=-1 guest.name={name}"),
            *shlex.split(connection["qemu"]),
        ]


class UserModeGuest(Guest):
    """User-mode Linux: a kernel that is a process."""

    def modules(self) -> Path | None:
        return None

    def command(self, name: str, archive: str, connection: dict[str, Any]) -> list[str]:
        device = f"eth0=tuntap,{connection['interface']},{connection['mac']}"
        memory = ["mem=64M", f"initrd={archive}", "quiet", f"guest.name={name}"]
        return ["linux.uml", *memory, device, "con=null", "con0=fd:0,fd:1", f"umid={name}"]
