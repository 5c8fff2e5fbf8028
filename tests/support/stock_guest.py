"""A virtual machine with Debian's own kernel, a whole Debian, and volt in it.

What a kernel of the test's machine need not have is there: VLANs, br_netfilter as a module.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .guests import QemuGuest
from .initramfs import DISK, GUEST, VIRTIO, initramfs
from .machine import ROOT
from .systemd_host import IMAGE, SystemdHost

# Of the image, what the guest has no use for.
_LEFT_OUT = ("boot", "usr/bin/linux.uml", "usr/lib/uml", "usr/bin/qemu-system-x86_64")
_VOLT = """#!/bin/sh
export PYTHONPATH=/opt/volt/src:/opt/volt/packages
exec python3 -m volt_agent.cli "$@"
"""
DISK_MB = 1500  # sparse


class StockGuest(QemuGuest):
    """See the module. `volt` is on its PATH, and nothing of it runs yet."""

    memory = "512"

    def __init__(self, host: SystemdHost, name: str) -> None:
        # Beside the image: on its file system, and seen by the host, which cannot write there.
        self._room = tempfile.TemporaryDirectory(dir=IMAGE.parent)
        try:
            disk = Path(self._room.name) / "disk"
            _write_disk(disk)
            drive = f"file={disk},if=none,id=disk,format=raw,snapshot=on"
            options = f"-drive {drive} -device virtio-blk-pci,drive=disk"
            super().__init__(host, name, {"qemu": options})
        except BaseException:
            self._room.cleanup()
            raise

    def close(self) -> None:
        """Pull the plug and throw the disk away."""
        self.stop()
        self._room.cleanup()

    def first_root(self) -> bytes:
        scripts = {"init": GUEST / "init-disk"}
        return initramfs(IMAGE, self.modules(), scripts, (*VIRTIO, *DISK))


def fits() -> bool:
    """Whether the packages of this Python are good for that of the image, too."""
    minor = f"python3.{sys.version_info.minor}"
    return (IMAGE / "usr/bin" / minor).exists()


def _write_disk(disk: Path) -> None:
    """The image with volt in /opt, as an ext4 file system."""
    tree = disk.parent / "tree"
    subprocess.run(["cp", "-al", IMAGE, tree], check=True)  # links instead of copies
    for each in _LEFT_OUT:
        path = tree / each
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _install(tree / "opt/volt")
    options = ("-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0")
    subprocess.run(["mke2fs", *options, "-d", tree, disk, f"{DISK_MB}M"], check=True)
    shutil.rmtree(tree)


def _install(place: Path) -> None:
    packages = next(each for each in sys.path if each.endswith("site-packages"))
    shutil.copytree(ROOT / "src", place / "src")
    unused = ("mypy*", "ruff*", "pytest*", "hypothesis*", "pip*", "setuptools*", "tests")
    shutil.copytree(packages, place / "packages", ignore=shutil.ignore_patterns(*unused))
    # An emulated processor takes a minute for what is done here in seconds.
    compileall.compile_dir(place, quiet=2, stripdir=place, prependdir="/opt/volt")
    shutil.copy(GUEST / "init-debian", place / "init")
    command = place / "bin/volt"
    command.parent.mkdir()
    command.write_text(_VOLT)
    os.chmod(command, 0o755)
