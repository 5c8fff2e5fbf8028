"""What the registry needs of a store."""

from __future__ import annotations

from typing import Protocol

from ..model.snapshot import Change


class Store(Protocol):
    """Keeps the desired objects. One writer: calls do not overlap."""

    @property
    def revision(self) -> int:
        """The number of the last change that was stored; 0 for an empty store."""

    async def open(self) -> Change:
        """Everything stored, as one change of puts.

        Raises StoreFailed if it cannot be read whole and for certain (damaged, of an unknown
        version), Refused if another agent has it open. Nothing is altered then.
        """

    async def write(self, change: Change) -> int:
        """Store `change`: all of it, durably, when this returns; returns its revision.

        Objects that are not desired are left out; a change without any keeps the revision. Raises
        StoreFailed, and then nothing of it is stored. Cancelling the caller does not stop a write.
        """

    async def close(self) -> None:
        """Let go of it. Closing twice is fine; `open` may follow."""
