"""Waiting until a commit has taken effect, and taking it back where the kernel refuses it."""

from __future__ import annotations

from ...errors import VoltError
from ...model.snapshot import Change, Snapshot
from ...networks.agenda import Target
from ...networks.reconcile import Reconciler
from ...registry import Commit, Registry


async def settle(
    registry: Registry, reconciler: Reconciler, commit: Commit, *targets: Target
) -> None:
    """Wait until `targets` of `commit` are in order; what the kernel refuses is taken back.

    Raises the VoltError with the kernel's reason.
    """
    try:
        await reconciler.settled(*targets)
    except VoltError:
        await registry.commit(lambda now: _take_back(commit, now))
        await reconciler.settled_all()
        raise


def _take_back(commit: Commit, now: Snapshot) -> Change:
    """The way back from a commit, of what nobody has changed since."""
    back = commit.old.inverse(commit.change)
    mine = set(map(id, commit.change.put))
    return Change(
        put=back.put,
        delete=tuple(each for each in back.delete if id(now.find(each)) in mine),
    )
