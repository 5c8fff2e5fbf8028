"""Which files are opened, and what is said about the others."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volt_agent.errors import StoreFailed
from volt_agent.model.snapshot import Change
from volt_agent.model.workload import Workload
from volt_agent.store import SqliteStore
from volt_agent.store.codec import Row, rows
from volt_agent.store.database import LOG_PAGES, Database

ROWS = rows(Workload(name=f"w{n}", kind="vm") for n in range(200))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with ROWS at revision 1."""
    path = tmp_path / "state.db"
    database = Database(path)
    database.commit([], ROWS)
    database.close()
    return path


def alter(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def open_store(path: Path) -> Change:
    async def run() -> Change:
        store = SqliteStore(path.parent)
        try:
            return await store.open()
        finally:
            await store.close()

    return asyncio.run(run())


def _overwrite(offset: int, data: bytes) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return act


def _alter(*statements: str) -> Callable[[Path], None]:
    return lambda path: alter(path, *statements)


def _make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (_alter("UPDATE meta SET value=2 WHERE name='version'"), "has version 2, and this volt kn"),
        (_alter("UPDATE meta SET value='x' WHERE name='version'"), "has version 'x', and"),
        (_alter("DELETE FROM meta"), "has version missing"),
        (_alter("DELETE FROM meta WHERE name='revision'"), "is damaged: its revision is missing"),
        (_alter("DROP TABLE objects"), "is not a state database of volt"),
        (_alter("UPDATE objects SET kind='Tunnel'"), "does not understand: 'Tunnel' is not a kind"),
        (_alter("UPDATE objects SET body='{'"), "does not understand: Workload 'w0': Input data"),
        (_alter("UPDATE objects SET body=CAST(x'ff' AS TEXT)"), "is damaged: Could not decode"),
        (
            _alter("UPDATE objects SET body=json_set(body, '$.colour', 'red') WHERE key='w7'"),
            "does not understand: Workload 'w7' has unknown fields: colour",
        ),
        (_overwrite(0, b"[Unit]\nDescription=no database"), "is damaged: file is not a database"),
        (_overwrite(4096, b"\xaa" * 4096), "is damaged: "),
        (_overwrite(3 * 4096 + 2000, bytes(600)), "is damaged: "),
        (lambda path: os.truncate(path, 8192), "is damaged: "),
        (_make_directory, "cannot open "),
    ],
)
def test_files_that_are_refused(path: Path, act: Callable[[Path], None], reason: str) -> None:
    """What cannot be read for certain is refused, with the file's name and what to do, and is not
    altered; the store can be opened again once the file is right."""
    act(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreFailed) as raised:
        open_store(path)
    assert str(path) in raised.value.message
    assert reason in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.hint or path.is_dir()
    assert not path.is_file() or path.read_bytes() == before


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 7 * 4096), data=st.binary(min_size=1, max_size=40))
def test_any_damage_is_read_or_refused(path: Path, offset: int, data: bytes) -> None:
    """Bytes changed anywhere in the file never lead to another error."""
    whole = path.read_bytes()
    _overwrite(offset, data)(path)
    with suppress(StoreFailed):
        assert open_store(path).put
    path.write_bytes(whole)
    assert len(open_store(path).put) == len(ROWS)


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    """A start that was cut off before the first table leaves a file that can be used."""
    (tmp_path / "state.db").touch(mode=0o644)
    assert open_store(tmp_path / "state.db") == Change()
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_a_file_in_use_is_refused(path: Path) -> None:
    """Another program's lock is waited for briefly, then named as the reason."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="another program is using it"):
            open_store(path)


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A file where the directory should be is named."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match=r"cannot use .*/file/below: Not a directory"):
        open_store(tmp_path / "file" / "below" / "state.db")


@pytest.mark.parametrize("name", ["state.db", "state.db-wal"])
def test_a_file_that_was_removed_is_noticed(path: Path, name: str) -> None:
    """Writing on into a file that no start would find is refused."""
    database = Database(path)
    database.commit([], ROWS[:1])
    database.commit([], ROWS[:1])
    path.with_name(name).unlink()
    with pytest.raises(StoreFailed, match="was removed or replaced while the agent runs"):
        database.commit([], ROWS[:1])
    database.close()


def test_the_log_stays_small(path: Path) -> None:
    """It is begun anew once it has LOG_PAGES pages, however many changes there are."""
    database = Database(path)
    for number in range(LOG_PAGES):
        database.commit([], [Row("Workload", f"w{number % 7}", "{}")])
    assert path.with_name("state.db-wal").stat().st_size < (LOG_PAGES + 20) * 4200
    database.close()


def test_every_object_carries_its_revision(path: Path) -> None:
    """The number of the last change of each object is kept, and the number of the last of all."""
    database = Database(path)
    assert database.revision == 1
    assert database.commit([ROWS[0]], [ROWS[1]]) == 2
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT key, revision FROM objects WHERE key IN ('w0', 'w1', 'w2') ORDER BY key"
        assert connection.execute(query).fetchall() == [("w1", 2), ("w2", 1)]
