"""What users asked for, on disk: a change is stored before it is acknowledged.

`base`       Store, the protocol: open, write, close
`memory`     MemoryStore: keeps it in memory only; for tests and trials
`sqlite`     SqliteStore: the real one, in a directory of its own; never makes the loop wait
`database`   state.db itself, blocking: what is written when, and what a failing disk leaves
`codec`      objects <-> rows
`lock`       one agent per directory

Only desired objects (`model.snapshot.DESIRED`) are stored; everything else is seen anew after a
restart. Each change that is stored gets the next `revision`, and every object carries the revision
of its last change.
"""

from __future__ import annotations

from .base import Store
from .memory import MemoryStore
from .sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store"]
