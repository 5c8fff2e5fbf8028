"""The store that lasts: state.db in a directory of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import StoreFailed
from ..model.snapshot import Change
from .codec import Row, Unreadable, objects, rows
from .database import Database
from .lock import DirectoryLock

T = TypeVar("T")

DATABASE_NAME = "state.db"


class SqliteStore:
    """A `Store` in `directory` (made 0700 where it is missing).

    SQLite runs in one thread of its own, in which it is opened, used and closed: a slow disk makes
    the caller wait, and never the loop. `inherited` is the descriptor of a lock on the directory
    that another process holds for this one (see `rest`).
    """

    def __init__(self, directory: Path, inherited: int | None = None) -> None:
        self.path = directory / DATABASE_NAME
        self._inherited = inherited
        self._thread: ThreadPoolExecutor | None = None
        self._lock: DirectoryLock | None = None
        self._database: Database | None = None

    def __repr__(self) -> str:
        state = f"revision {self.revision}" if self._database else "closed"
        return f"<SqliteStore {self.path} [{state}]>"

    @property
    def revision(self) -> int:
        return self._database.revision if self._database else 0

    async def open(self) -> Change:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="volt-store")
        try:
            return await self._run(self._open)
        except BaseException:
            await self.close()
            raise

    async def write(self, change: Change) -> int:
        if self._thread is None:
            raise _closed()
        return await self._run(partial(self._write, change))

    async def rows(self) -> list[Row]:
        """Everything stored, as it is stored. Raises StoreFailed."""
        if self._thread is None:
            raise _closed()
        return await self._run(self._rows)

    async def rest(self) -> int:
        """Close the database, so that another process may open it, and keep the lock: its
        descriptor. `open` opens it again."""
        if self._thread is None:
            raise _closed()
        return await self._run(self._rest)

    async def close(self) -> None:
        if self._thread is None:
            return
        await self._run(self._close)
        self._thread.shutdown(wait=False)
        self._thread = None

    async def _run(self, work: Callable[[], T]) -> T:
        """Shielded: work that was begun or queued is done, even if nobody waits for it any more."""
        assert self._thread is not None
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))

    def _open(self) -> Change:
        if self._lock is None:
            self._lock = self._take_lock()
        self._database = Database(self.path)
        try:
            return Change(put=objects(self._database.read()))
        except Unreadable as error:
            raise StoreFailed(
                f"{self.path} holds what this volt does not understand: {error}",
                "install the volt that wrote it, or restore an older backup",
            ) from None

    def _take_lock(self) -> DirectoryLock:
        if self._inherited is None:
            return DirectoryLock(self.path.parent)
        descriptor, self._inherited = self._inherited, None
        return DirectoryLock.inherited(descriptor)

    def _rows(self) -> list[Row]:
        if self._database is None:
            raise _closed()
        return self._database.read()

    def _rest(self) -> int:
        assert self._lock is not None
        if self._database is not None:
            self._database.close()
            self._database = None
        return self._lock.fileno()

    def _write(self, change: Change) -> int:
        if self._database is None:  # closed while this was queued
            raise _closed()
        if not change.is_durable:
            return self._database.revision
        return self._database.commit(rows(change.delete), rows(change.put))

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _closed() -> StoreFailed:
    return StoreFailed("the store is closed")
