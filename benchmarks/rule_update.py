"""One rule, policy or forward added with 10,000 present; and all 10,000 compiled and loaded anew.

In the agent's own way: `Firewall.apply` compiles what the change touches and sends the difference
to the kernel, in-process. Beside it, in the same run and a host of its own: the three rules
that Docker makes for a published port, added through `nft`, one process each, with as many present.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks import crowd
from benchmarks.figures import Figures, options
from tests.firewall.property.bench import Bench
from tests.firewall.property.states import State
from tests.firewall.property.world import World
from tests.support.namespaces import network_namespace
from volt_agent.firewall.incremental import Compiled
from volt_agent.model.host import HostPolicy
from volt_agent.model.snapshot import Change, Object

PRESENT = 10_000
# The promises, in milliseconds.
ONE_MS, BATCH_MS, FULL_MS = 2.0, 5.0, 500.0
BATCH = 32
# What the loop may be late while everything is loaded.
LAG_MS = 20.0
_TICK = 0.001


def main() -> None:
    quick = options(__doc__).quick
    rounds = 20 if quick else 200
    figures = Figures(f"Updates with {PRESENT:,} rules, policies and forwards present")
    bench = Bench()
    try:
        bench.load(State(HostPolicy()))
        bench.apply(Change(put=(*crowd.residents(), *crowd.objects(PRESENT))))
        gc.freeze()  # as the agent does with what is there after its start
        one_by_one(figures, bench, rounds)
        in_one_call(figures, bench, rounds)
        all_anew(figures, bench, 3 if quick else 10)
    finally:
        bench.close()
    docker(figures, 5 if quick else 30)
    figures.finish()


def one_by_one(figures: Figures, bench: Bench, rounds: int) -> None:
    """Add one object and take it away again."""
    makers: dict[str, Callable[[int], Object]] = {
        "rule": crowd.rule,
        "policy": crowd.policy,
        "forward": crowd.forward,
    }
    for what, make in makers.items():
        added, deleted = [], []
        for number in range(rounds):
            each = make(PRESENT + number)
            added.append(timed(bench, Change(put=(each,))))
            deleted.append(timed(bench, Change(delete=(each,))))
        median = figures.samples(f"one {what} added", added)
        figures.samples(f"one {what} deleted", deleted)
        figures.limit(f"one {what} added, median", median, ONE_MS)


def in_one_call(figures: Figures, bench: Bench, rounds: int) -> None:
    """A container with 32 published ports."""
    samples = []
    many = tuple(crowd.forward(PRESENT + number) for number in range(BATCH))
    for _ in range(rounds):
        samples.append(timed(bench, Change(put=many)))
        bench.apply(Change(delete=many))
    median = figures.samples(f"{BATCH} forwards added in one call", samples)
    figures.limit(f"{BATCH} forwards, median", median, BATCH_MS)


def all_anew(figures: Figures, bench: Bench, rounds: int) -> None:
    """Compile and load everything, while a task of the loop notices how late it is woken."""
    spent, lags = [], []
    for _ in range(rounds):
        took, lag = bench.runner.run(with_lag(lambda: anew(bench)))
        spent.append(took)
        lags.append(lag)
    median = figures.samples("everything compiled and loaded anew", spent)
    late = figures.samples("  the loop late meanwhile, at most", lags)
    figures.limit("everything anew, median", median, FULL_MS)
    figures.limit("the loop late, median of the worst", late, LAG_MS)


async def anew(bench: Bench) -> None:
    """What a start and a repair do: compile the snapshot, replace both tables at once."""
    await asyncio.to_thread(lambda: bool(Compiled.of(bench.snapshot)))
    await bench.firewall.restore()


async def with_lag(work: Callable[[], Coroutine[Any, Any, None]]) -> tuple[float, float]:
    """How long `work` took and by how much the loop was late at worst, in milliseconds."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            worst = max(worst, time.perf_counter() - began - _TICK)

    ticking = asyncio.create_task(tick())
    began = time.perf_counter()
    await work()
    took = time.perf_counter() - began
    ticking.cancel()
    return took * 1000, worst * 1000


def timed(bench: Bench, change: Change) -> float:
    """Milliseconds for one change."""
    began = time.perf_counter()
    bench.apply(change)
    return (time.perf_counter() - began) * 1000


def docker(figures: Figures, rounds: int) -> None:
    """The rules of one published port in Docker's shape: DNAT, accept, masquerade to itself."""
    world = World()
    try:
        world.sh("host", "nft", "-f", "-", given=_docker_table(PRESENT))
        samples = []
        for number in range(rounds):
            began = time.perf_counter()
            with network_namespace(Path(world.path("host"))):
                for rule in _docker_rules(PRESENT + number):
                    subprocess.run(["nft", f"add rule ip docker {rule}"], check=True)
            samples.append((time.perf_counter() - began) * 1000)
    finally:
        world.close()
    figures.samples("Docker's shape: one port, 3 x nft", samples)


def _docker_rules(number: int) -> tuple[str, str, str]:
    made, target = crowd.forward(number % 40000), crowd.address(number)
    return (
        f"DOCKER tcp dport {made.ports} dnat to {target}:80",
        f"FILTER ip daddr {target} tcp dport 80 accept",
        f"POST ip saddr {target} ip daddr {target} tcp dport 80 masquerade",
    )


def _docker_table(count: int) -> str:
    chains: dict[str, list[str]] = {"DOCKER": [], "FILTER": [], "POST": []}
    for number in range(count // 3):
        for rule in _docker_rules(number):
            chain, _, text = rule.partition(" ")
            chains[chain].append(text)
    hooks = {
        "DOCKER": "type nat hook prerouting priority dstnat",
        "FILTER": "type filter hook forward priority filter",
        "POST": "type nat hook postrouting priority srcnat",
    }
    parts = [
        f"chain {name} {{\n{hooks[name]}\n" + "\n".join(rules) + "\n}\n"
        for name, rules in chains.items()
    ]
    return "table ip docker {\n" + "".join(parts) + "}\n"


if __name__ == "__main__":
    main()
