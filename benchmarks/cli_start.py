"""What `volt net list` costs beside `python3 -c pass`, of the same Python, in turns.

Wall time and CPU time of the whole process. The limit is that of the wall time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.figures import Figures, options
from tests.support.host import Host

LIMIT = 9.0
# The command as pip installed it, beside the interpreter that runs this.
VOLT = str(Path(sys.executable).with_name("volt"))


def main() -> None:
    rounds = 10 if options(__doc__).quick else 40
    commands = [[sys.executable, "-c", "pass"], [VOLT, "net", "list"], [VOLT, "--version"]]
    with Host() as host:
        host.start_agent()
        for number in range(8):
            host.call("net.create", name=f"network-{number}")
        spent = json.loads(
            host.run(
                *host.python("-m", "benchmarks.inside_turns", str(rounds)),
                input=json.dumps(commands),
                within=120,
            ).stdout
        )
    figures = Figures("Start of the command line")
    medians = {}
    for command, runs in zip(commands, spent, strict=True):
        name = " ".join([Path(command[0]).name, *command[1:]])
        medians[name] = figures.samples(name, [run["wall"] * 1000 for run in runs])
        figures.samples("  of which CPU", [run["cpu"] * 1000 for run in runs])
    base = next(iter(medians.values()))
    figures.limit("volt net list / python -c pass", medians["volt net list"] / base, LIMIT)
    figures.finish()


if __name__ == "__main__":
    main()
