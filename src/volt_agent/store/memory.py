"""A store in memory, for tests and trials. It takes and refuses what the real one does."""

from __future__ import annotations

from ..errors import StoreFailed
from ..model.snapshot import Change
from .codec import Row, objects, rows


class MemoryStore:
    """Keeps its content over close and open, as a file does. Set `failure` to have writes fail."""

    def __init__(self) -> None:
        self.revision = 0
        self.failure: StoreFailed | None = None
        self._rows: dict[tuple[str, str], Row] = {}
        self._is_open = False

    def __repr__(self) -> str:
        return f"<MemoryStore revision {self.revision} [{len(self._rows)} objects]>"

    async def open(self) -> Change:
        self._is_open = True
        return Change(put=objects(self._rows.values()))

    async def write(self, change: Change) -> int:
        if not self._is_open:
            raise StoreFailed("the store is closed")
        if self.failure is not None:
            raise self.failure
        if change.is_durable:
            for row in rows(change.delete):
                self._rows.pop((row.kind, row.key), None)
            self._rows |= {(row.kind, row.key): row for row in rows(change.put)}
            self.revision += 1
        return self.revision

    async def close(self) -> None:
        self._is_open = False
