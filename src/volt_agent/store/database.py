"""state.db: SQLite with a write-ahead log, on one connection and one thread. Everything blocks.

Durable: `synchronous=FULL` syncs the log before COMMIT returns. Bounded: the log is copied into the
database and begun anew after about LOG_PAGES pages. `locking_mode=EXCLUSIVE` keeps the log's index
in memory instead of a file, so that a database can be opened while the disk is full (measured: with
the index file SQLITE_IOERR_SHMSIZE), and keeps other programs out.

**After a failed write** the file may hold more than the connection knows: if COMMIT fails because
fsync fails, the transaction stands complete in the log, and whoever opens the file after a crash
would find it, although it was refused. Nor may a second fsync be trusted: Linux drops dirty pages
that it could not write. So before anything else is written, `_mend`

1. overwrites: the connection writes a transaction of no consequence over the same place in the log
   (frames are chained by checksums, so whatever follows it is void);
2. copies the whole log into the database, which writes and syncs every page anew, and empties it;
3. reads back: the revision is the old one and no object has a later one.

It is tried at once, and again before each further write until it succeeds. What remains unknowable:
a disk that failed the write and the overwriting both, and a crash before either could be repeated.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import StoreFailed
from .codec import Row

log = logging.getLogger(__name__)

VERSION = 1
# SQLite's default, about 4 MB: a copy into the database every few hundred changes.
LOG_PAGES = 1000
LOCK_SECONDS = 2.0

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('version', {VERSION}), ('revision', 0), ('mended', 0);
COMMIT;
"""

# What SQLite's primary result codes mean to somebody with a disk, and what to do about it.
_REASONS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("no space left on the disk", "free some space, then try again"),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "look into the kernel's log (dmesg)"),
    sqlite3.SQLITE_READONLY: (
        "it is read-only",
        "make the file and its file system writable, then try again",
    ),
    sqlite3.SQLITE_BUSY: ("another program is using it", "close that program, then try again"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "check the path and its permissions"),
}
_DAMAGED = (
    "stop the agent and restore state.db from a backup; without one, move it and state.db-wal "
    "away: volt then starts with nothing"
)


class Database:
    """An open state.db. `revision` is that of the last change in it."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it (0600). Raises StoreFailed, and then nothing was altered."""
        self.path = path
        self._must_mend = False
        self._files = path, path.with_name(path.name + "-wal")
        self._in_place: tuple[int | None, ...] = ()
        with self._translated("open"):
            _make_private_file(path)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS)
        try:
            with self._translated("open"):
                self.revision = self._begin()
        except BaseException:
            self._connection.close()
            raise

    def read(self) -> list[Row]:
        """All rows. Raises StoreFailed if the file is damaged."""
        with self._translated("read"):
            found = self._all("SELECT kind, key, body FROM objects")
        if not all(isinstance(value, str) for each in found for value in each):
            raise self._damaged("what should be text is not")
        return [Row(*each) for each in found]

    def commit(self, deletes: Sequence[Row], puts: Sequence[Row]) -> int:
        """Store a change, deletes first; returns its revision. Raises StoreFailed: not stored."""
        self._check_in_place()
        if self._must_mend:
            self._mend()
        try:
            with self._translated("write"):
                self._transact(deletes, puts)
        except StoreFailed:
            self._must_mend = True
            with suppress(StoreFailed):  # that it fails as well is no news; commit tries again
                self._mend()
            raise
        self.revision += 1
        return self.revision

    def close(self) -> None:
        """Copy the log into the database, as far as the disk allows, and close it."""
        with suppress(sqlite3.Error):
            self._connection.close()

    # ---- opening --------------------------------------------------------------------------------

    def _begin(self) -> int:
        """Look before touching: only an empty file or a known version is altered."""
        self._all("PRAGMA locking_mode=EXCLUSIVE")
        tables = {name for (name,) in self._all("SELECT name FROM sqlite_master")}
        if tables:
            self._check_version(tables)
        if self._all("PRAGMA journal_mode=WAL") != [("wal",)]:
            raise self._damaged("it cannot have a write-ahead log")
        self._all("PRAGMA synchronous=FULL")
        self._all(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        if not tables:
            self._connection.executescript(_SCHEMA)
        elif (found := self._all("PRAGMA quick_check(1)")) != [("ok",)]:
            raise self._damaged(str(found[0][0]).splitlines()[-1])
        return self._meta("revision")

    def _check_version(self, tables: set[str]) -> None:
        if not {"meta", "objects"} <= tables:
            raise StoreFailed(f"{self.path} is not a state database of volt", "choose another file")
        found = self._all("SELECT value FROM meta WHERE name='version'")
        if found != [(VERSION,)]:
            version = repr(found[0][0]) if found else "missing"
            raise StoreFailed(
                f"{self.path} has version {version}, and this volt knows version {VERSION} only",
                "install the volt that wrote it, or restore an older backup",
            )

    def _meta(self, name: str) -> int:
        found = self._all("SELECT value FROM meta WHERE name=?", name)
        if len(found) != 1 or not isinstance(found[0][0], int):
            raise self._damaged(f"its {name} is missing")
        return int(found[0][0])

    # ---- writing --------------------------------------------------------------------------------

    def _transact(self, deletes: Sequence[Row], puts: Sequence[Row]) -> None:
        new = self.revision + 1
        run = self._connection.execute
        many = self._connection.executemany
        run("BEGIN IMMEDIATE")
        run("UPDATE meta SET value=? WHERE name='revision'", (new,))
        many("DELETE FROM objects WHERE kind=? AND key=?", [row[:2] for row in deletes])
        many("REPLACE INTO objects VALUES (?, ?, ?, ?)", [(*row, new) for row in puts])
        run("COMMIT")

    def _mend(self) -> None:
        """Make the file hold what was acknowledged, and nothing else (see the module)."""
        with self._translated("write"):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            # The value must change: SQLite does not write a page that stays as it was (measured).
            self._connection.execute("UPDATE meta SET value=value+1 WHERE name='mended'")
            ((is_busy, _, _),) = self._all("PRAGMA wal_checkpoint(TRUNCATE)")
            later = self._all("SELECT 1 FROM objects WHERE revision>? LIMIT 1", self.revision)
            if is_busy or later or self._meta("revision") != self.revision:
                raise self._damaged("a refused change is in it")
        self._must_mend = False
        log.warning("%s: mended after a failed write", self.path)

    def _check_in_place(self) -> None:
        """Refuse to write into a file that nobody will find again."""
        now = tuple(map(_inode, self._files))
        for before, after in zip(self._in_place, now, strict=False):
            if before is not None and before != after:
                raise StoreFailed(
                    f"{self.path} or its log was removed or replaced while the agent runs",
                    "restart the agent: it goes on with the file that is there",
                )
        self._in_place = now

    # ---- SQLite ---------------------------------------------------------------------------------

    def _all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """SQLite's and the system's errors as StoreFailed."""
        try:
            yield
        except OSError as error:
            raise StoreFailed(f"cannot {doing} {self.path}: {error.strerror}") from None
        except (sqlite3.Error, UnicodeError) as error:
            raise self._explained(doing, error) from None

    def _explained(self, doing: str, error: Exception) -> StoreFailed:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & 0xFF not in _REASONS:
            return self._damaged(str(error))
        reason, hint = _REASONS[code & 0xFF]
        name = getattr(error, "sqlite_errorname", "")
        return StoreFailed(f"cannot {doing} {self.path}: {reason} ({name})", hint)

    def _damaged(self, reason: str) -> StoreFailed:
        return StoreFailed(f"{self.path} is damaged: {reason}", _DAMAGED)


def _make_private_file(path: Path) -> None:
    """Before SQLite opens it: closing any descriptor of a file drops its POSIX locks (fcntl(2))."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_mode & 0o077:
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
