"""`volt`, the command line: a client of the control RPC, and the way to start the agent.

The command path is the file path is the name of the call: `volt net dns list` is the command `list`
of `cli/net/dns.py` and calls `net.dns.list`. A file defines COMMAND, a command or a group; a group
imports its members only when they are asked for, which is why `volt net list` is fast. For the same
reason only `control.client` and `control.messages` come from outside, and neither asyncio nor rich
from anywhere (`agent run|check|reset` import the agent itself, late).

* `root`         the top group, `--version`
* `command`      how commands and groups are made: late import, global options, examples
* `session`      one run of the program: where the agent is, how to print
* `output`       tables, JSON, YAML
* `failures`     everything that can go wrong, to one line and an exit status
* `arguments`    arguments that several commands share
* `complete`     completion in shells, with names asked from the agent
"""

from __future__ import annotations

import gc
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (by default this process's); returns the exit status."""
    # A command lives for a tenth of a second and makes no garbage worth collecting. Looking for
    # some on the way costs 5 % of its time; the interpreter's last collection, which has nothing
    # to look at after freeze(), costs 15 %.
    gc.disable()
    try:
        from .failures import exit_status_of
        from .root import run

        return exit_status_of(run, args)
    except KeyboardInterrupt:  # before or after what exit_status_of sees
        return 128 + 2
    finally:
        gc.freeze()
