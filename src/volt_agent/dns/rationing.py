"""Who is answered when more questions come in than can be answered: decisions, without sockets.

One queue in the kernel serves all askers of a network. Whoever floods it would push out everybody
else's questions, for the kernel drops what does not fit. Reading a question costs a fraction of
answering it, so the way out is to read on and answer nobody more than his ration: then the queue
stays short, and those who ask within reason do not notice.

Before that there is patience: what piled up while the agent was restarting is a long queue as well,
and every question in it is to be answered.
"""

from __future__ import annotations

# Octets of queue, as the kernel counts them (768 for a usual query), that 600 queries take: more
# than any resolver has on its way to one server, and 5 ms of work.
CROWDED = 512 * 1024
# Queries answered to everybody in a crowd before rations begin: more than pile up in a restart.
PATIENCE = 4096
# Seconds without a crowd until patience is back.
CALM = 1.0
# Queries answered for one asker, and queries read in all, in one turn of the loop.
RATION = 8
READ = 256


class Rationing:
    """Decides, turn by turn, whether everybody is answered or each gets a ration."""

    def __init__(self) -> None:
        self._patience = PATIENCE
        self._crowded_at = 0.0

    def is_due(self, queued: int, answered: int, now: float) -> bool:
        """Whether to ration from now on, after a turn of `answered` that left `queued` octets."""
        if queued < CROWDED:
            if now - self._crowded_at > CALM:
                self._patience = PATIENCE
            return False
        self._crowded_at = now
        self._patience = max(self._patience - answered, 0)
        return not self._patience
