"""Uses a store on a full disk. Mounts a small tmpfs: run it in a mount namespace of its own.

`unshare --mount python -m tests.store.full_disk DIRECTORY` prints a line for each step.
"""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from pathlib import Path

from volt_agent.errors import StoreFailed
from volt_agent.model.snapshot import Change
from volt_agent.model.workload import Workload
from volt_agent.store import SqliteStore


class Disk:
    """A tmpfs of 256 KB on `directory`."""

    def __init__(self, directory: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory], check=True)
        self._filler = directory / "filler"

    def fill(self) -> None:
        try:
            with self._filler.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(512))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017

    def free(self) -> None:
        self._filler.unlink()


async def write(store: SqliteStore, number: int) -> str:
    """Put a workload named after `number`; what came of it."""
    try:
        await store.write(Change(put=(Workload(name=f"w{number}", kind="vm"),)))
    except StoreFailed as error:
        return f"w{number} refused: {error.message} ({error.hint})"
    return f"w{number} stored"


async def keys(store: SqliteStore) -> str:
    await store.close()
    return "holds " + " ".join(each.key for each in (await store.open()).put)


async def main(directory: Path) -> None:
    disk = Disk(directory)
    store = SqliteStore(directory)
    await store.open()
    print(await write(store, 1))
    disk.fill()
    # The log may have a page left over; after it everything is refused.
    for number in range(2, 6):
        print(await write(store, number))
    disk.free()
    print(await write(store, 6))
    await store.close()

    disk.fill()
    print(await keys(store))
    print(await write(store, 7))
    disk.free()
    print(await write(store, 8))
    print(await keys(store))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
