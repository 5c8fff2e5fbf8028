"""From a change of a name until the right answer is on the wire: idle, loaded, and flooded.

A name of 10,000 moves between two addresses, with the server told of a new snapshot as the registry
tells it; somebody else asks for the name all the time. A stale answer
is one to a question that was asked after the change was done. The load keeps 100 questions on their
way; the flood is another workload that sends as fast as it can and does not care for answers.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from subprocess import PIPE
from typing import NamedTuple

from benchmarks import inside_names
from benchmarks.dns_load import LOAD_CORE, SERVER_CORE, pinned, questions
from benchmarks.figures import Figures, options, percentile
from tests.support.host import Host
from tests.support.process import Process

IDLE_MS, FLOOD_MS, LAG_MS = 1.0, 15.0, 15.0
NAMES = 10_000
SERVER = str(inside_names.NETWORK.gateway)
FLOODER, PROBER = str(inside_names.ASKER), str(inside_names.ASKER + 1)
# Server and asker go before whatever else this machine is doing: its turns are milliseconds.
FIRST = ("chrt", "--rr", "1")
# Seconds that a load goes on after the last change.
MARGIN = 2.0


class Run(NamedTuple):
    """What was measured, in milliseconds, and how many answers were stale.

    `undisturbed` are the questions that no change came between: what exceeds their p99 is the
    change's, the rest is this machine's.
    """

    effective: list[float]
    undisturbed: list[float]
    lags: list[float]
    answers: int
    stale: int


def main() -> None:
    rounds = 200 if options(__doc__).quick else 1000
    figures = Figures("DNS: change of a name -> right answer on the wire")
    with Host() as host:
        for address in (SERVER, FLOODER, PROBER):
            host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        file = questions(host, "names", map(inside_names.name_of, range(NAMES)))
        server = _server(host)
        for what, load in (("idle", None), ("loaded", ()), ("flooded", ("flood",))):
            done = measure(host, server, file, rounds, load)
            figures.samples(f"{what}: in effect", done.effective)
            figures.samples("  question and answer without a change", done.undisturbed)
            figures.samples(f"{what}: loop lag", done.lags)
            limit = IDLE_MS if load is None else FLOOD_MS
            figures.limit(f"{what}: in effect, p99", percentile(done.effective, 0.99), limit)
            figures.limit(f"{what}: loop lag, p99", percentile(done.lags, 0.99), LAG_MS)
            figures.limit(f"{what}: stale answers of {done.answers}", done.stale, 0)
    figures.finish()


def measure(
    host: Host, server: Process, file: str, rounds: int, load: tuple[str, ...] | None
) -> Run:
    prober = _prober(host)
    seconds = rounds * (inside_names.PAUSE + 0.005) + MARGIN
    loading = None if load is None else _load(host, file, seconds, load)
    server.stdin.write(f"{rounds}\n")
    server.stdin.flush()
    report = json.loads(server.stdout.readline())
    answers, _ = prober.entering.communicate("enough\n", timeout=60)
    if loading is not None:
        loading.wait(60)
    return judge(report["changes"], json.loads(answers), report["lags"])


def judge(
    changes: list[tuple[float, float]], answers: list[tuple[float, float, str]], lags: list[float]
) -> Run:
    """Match the answers with the changes that came before their questions."""
    began, done = zip(*changes, strict=True)
    places = [str(each) for each in inside_names.PLACES]
    first_right: dict[int, float] = {}
    undisturbed, stale = [], 0
    for asked, came, address in answers:
        before, during = bisect_right(done, asked) - 1, bisect_right(began, came) - 1
        first = bisect_right(began, asked) - 1 < during or during not in first_right
        if not first:
            undisturbed.append((came - asked) * 1000)
        if before >= 0 and before == during and address != places[before % 2]:
            stale += 1
        if during >= 0 and address == places[during % 2]:
            first_right.setdefault(during, came)
    effective = [(came - began[change]) * 1000 for change, came in first_right.items()]
    return Run(effective, undisturbed, [lag * 1000 for lag in lags], len(answers), stale)


def _server(host: Host) -> Process:
    serving = host.python("-m", "benchmarks.inside_names", str(NAMES))
    process = host.start(*pinned(SERVER_CORE, *FIRST, *serving), stdin=PIPE, stdout=PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def _prober(host: Host) -> Process:
    asking = ("-m", "benchmarks.inside_probe", SERVER, PROBER, f"{inside_names.SWAPPED}.volt.local")
    command = (*FIRST, *host.python(*asking))
    process = host.start(*pinned(LOAD_CORE, *command), stdin=PIPE, stdout=PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def _load(host: Host, file: str, seconds: float, how: tuple[str, ...]) -> Process:
    """Load from another workload. It yields to the prober, with whom it shares a core."""
    blast = ("-m", "benchmarks.inside_blast", SERVER, FLOODER, file, str(seconds), *how)
    command = ("nice", "-n", "15", *host.python(*blast))
    return host.start(*pinned(LOAD_CORE, *command), stdout=PIPE)


if __name__ == "__main__":
    main()
