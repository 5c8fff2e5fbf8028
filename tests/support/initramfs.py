"""The root file system of a virtual machine: busybox, modules and an init, as a cpio archive.

The format is "newc" (Documentation/driver-api/early-userspace/buffer-format.rst); the kernel
unpacks it into memory.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GUEST = Path(__file__).parent / "guest"
SCRIPTS = {"init": GUEST / "init", "udhcpc": GUEST / "udhcpc"}
# In the order in which they need each other; what a kernel has built in has no file.
VIRTIO = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
)
DISK = ("drivers/block/virtio_blk.ko",)
_FOLDERS = ("bin", "dev", "etc", "modules", "new", "proc", "sys", "tmp", "www")

Entry = tuple[str, int, bytes, tuple[int, int]]  # path, mode, content, device


def initramfs(
    image: Path,
    modules: Path | None,
    scripts: Mapping[str, Path] = SCRIPTS,
    wanted: Sequence[str] = VIRTIO,
) -> bytes:
    """An archive for one guest; `modules` is /lib/modules/VERSION/kernel where it needs some of
    `wanted`. `scripts` are put at the top; `init` is the first process."""
    busybox = (image / "usr/bin/busybox").read_bytes()
    entries: list[Entry] = [(name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in _FOLDERS]
    entries += [
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        ("bin/busybox", stat.S_IFREG | 0o755, busybox, (0, 0)),
        ("bin/sh", stat.S_IFLNK | 0o777, b"busybox", (0, 0)),
        *_files(modules, scripts, wanted),
    ]
    packed = [_pack(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*packed, _pack(0, ("TRAILER!!!", 0, b"", (0, 0)))])


def _files(
    modules: Path | None, scripts: Mapping[str, Path], wanted: Sequence[str]
) -> Iterator[Entry]:
    for name, script in scripts.items():
        yield name, stat.S_IFREG | 0o755, script.read_bytes(), (0, 0)
    paths = [modules / path for path in wanted] if modules is not None else []
    for number, path in enumerate(each for each in paths if each.exists()):
        name = f"modules/{number}-{path.name}"  # the order in which init loads them
        yield name, stat.S_IFREG | 0o644, path.read_bytes(), (0, 0)


def _pack(number: int, entry: Entry) -> bytes:
    path, mode, content, (major, minor) = entry
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
