"""Changes of the firewall rules that are rolled back unless somebody confirms them.

`--confirm 30s` stores, in one commit, a change and the way back from it. One waits at a time, and
meanwhile the rules do not change otherwise: the way back stays exact.
"""

from __future__ import annotations

import re

from ..errors import Invalid, Refused
from ..model.confirm import Unconfirmed
from ..model.firewall import Rule
from ..model.snapshot import Change, Snapshot

# Less is no time to look; more is a change that nobody remembers to confirm.
WINDOW_MIN, WINDOW_MAX = 1.0, 3600.0
_WINDOW = re.compile(r"([0-9]{1,5})(s|m|)")
_SECONDS = {"": 1, "s": 1, "m": 60}


def parse_window(text: str) -> float:
    """`30s`, `2m` or `30` in seconds. Raises Invalid."""
    found = _WINDOW.fullmatch(text.strip())
    window = float(int(found[1]) * _SECONDS[found[2]]) if found else 0.0
    if not WINDOW_MIN <= window <= WINDOW_MAX:
        raise Invalid(
            f"--confirm {text[:40]!r} is not a time from 1 s to 1 h", "write it as 30s or 5m"
        )
    return window


def waiting(snapshot: Snapshot) -> Unconfirmed | None:
    """The change that waits for a confirmation."""
    return next(iter(snapshot.unconfirmed.values()), None)


def guarded(
    snapshot: Snapshot, change: Change, what: str, window: float | None, now: float
) -> Change:
    """`change`, with the way back from it if it has to be confirmed within `window` seconds.

    `now` is wall-clock time in seconds since the epoch. Raises Refused while another change waits.
    """
    if change.is_empty:
        return change
    pending = waiting(snapshot)
    if pending is not None:
        left = max(0, round(seconds_left(pending, now)))
        raise Refused(
            f"a change waits for its confirmation: {pending.what} (rolled back in {left} s)",
            "volt net firewall confirm keeps it; or wait until it is rolled back",
        )
    if window is None:
        return change
    back = snapshot.inverse(change)
    way_back = Unconfirmed(
        what=what,
        window=window,
        deadline=now + window,
        put=tuple(each for each in back.put if isinstance(each, Rule)),
        delete=tuple(each for each in back.delete if isinstance(each, Rule)),
    )
    return Change(put=(*change.put, way_back), delete=change.delete)


def seconds_left(pending: Unconfirmed, now: float) -> float:
    """Until it is rolled back; never more than was granted, should the clock have been set back."""
    return min(pending.deadline - now, pending.window)


def confirmed(snapshot: Snapshot) -> Change:
    """The waiting change stays. Raises Refused if none waits."""
    pending = waiting(snapshot)
    if pending is None:
        raise Refused(
            "no change waits for a confirmation",
            "one that was not confirmed in time was rolled back: volt events shows it",
        )
    return Change(delete=(pending,))


def rolled_back(snapshot: Snapshot, pending: Unconfirmed) -> Change:
    """Without the change that waited; nothing, if it was confirmed meanwhile."""
    if waiting(snapshot) != pending:
        return Change()
    gone = [each for each in pending.delete if each.name in snapshot.rules]
    return Change(put=pending.put, delete=(pending, *gone))
