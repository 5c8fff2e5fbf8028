"""A program that stores one change after another, for tests that make its life hard.

`python -m tests.store.writer DIRECTORY CHANGES COPIES` prints a line for each change: `stored N` or
`refused N MESSAGE`. After each refusal it copies the files to COPIES/N, as a crash at that moment
would leave them. Change N puts two reservations that say N and replaces the workload of the last
change that was stored: so a reader can tell which changes the store holds, and whether wholly.
"""

from __future__ import annotations

import shutil
import sys
from ipaddress import IPv4Address
from pathlib import Path

from msgspec import Struct

from volt_agent.errors import StoreFailed
from volt_agent.model.network import Reservation
from volt_agent.model.snapshot import Object
from volt_agent.model.workload import Workload
from volt_agent.store import database
from volt_agent.store.codec import objects, rows
from volt_agent.store.database import Database


class Content(Struct, frozen=True):
    """What a database holds: the number of the last change, and the revision."""

    change: int
    revision: int


def write(opened: Database, number: int, previous: int) -> int:
    """Store change `number` after `previous`; returns the revision."""
    address = IPv4Address(number)
    puts: list[Object] = [
        Reservation("net", "a", address, "", number),
        Workload(name=f"w{number}", kind="vm"),
        Reservation("net", "b", address, "", number),
    ]
    return opened.commit(rows([Workload(name=f"w{previous}", kind="vm")]), rows(puts))


def open_database(path: Path) -> Database:
    """Open it with a log so short that it is begun anew every few changes."""
    database.LOG_PAGES = 20
    return Database(path)


def content(path: Path) -> Content:
    """What the database at `path` holds. Raises if a change is in it by halves."""
    opened = Database(path)
    try:
        found = objects(opened.read())
        if not found:
            return Content(0, opened.revision)
        first, second, workload = found
        assert isinstance(first, Reservation)
        assert isinstance(second, Reservation)
        assert first.released == second.released
        assert workload.key == f"w{first.released:.0f}"
        return Content(int(first.released), opened.revision)
    finally:
        opened.close()


def copy_files(path: Path, to: Path) -> None:
    """The database and its log, as they are at this moment."""
    to.mkdir(parents=True)
    for each in path.parent.glob("state.db*"):
        shutil.copyfile(each, to / each.name)


def main(directory: str, changes: str, copies: str) -> None:
    path = Path(directory) / "state.db"
    opened = open_database(path)
    previous = 0
    for number in range(1, int(changes) + 1):
        try:
            write(opened, number, previous)
        except StoreFailed as error:
            print("refused", number, error.message, flush=True)
            copy_files(path, Path(copies) / str(number))
        else:
            print("stored", number, flush=True)
            previous = number
    opened.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
