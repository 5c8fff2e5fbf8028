"""The agent's memory: with 1,000 workloads running, and after 10,000 changes.

Beside it dnsmasq, which does a part of the same (names of 1,000 workloads), and Python with nothing
but the agent's imports.
"""

from __future__ import annotations

import subprocess

from benchmarks.figures import Figures, options
from benchmarks.peers import Dnsmasq
from benchmarks.population import populate
from tests.support.host import Host

LIMIT_MB = 120.0
# One or two arenas of the allocator; 10,000 changes that leaked half a kilobyte each would be more.
GROWTH_MB = 4.0
MB = 1_000_000


def main() -> None:
    quick = options(__doc__).quick
    workloads, changes = (200, 1000) if quick else (1000, 10_000)
    figures = Figures("Memory (resident)")
    with Host() as host:
        figures.value("Python with the agent's imports", imports_only(host), "MB")
        host.start_agent()
        figures.value("agent with no workload", resident(host), "MB")
        populate(host, workloads)
        loaded = resident(host)
        figures.value(f"agent with {workloads} workloads", loaded, "MB")
        churn(host, changes // 5)  # caches and rings fill once
        before = resident(host)
        churn(host, changes)
        growth = resident(host) - before
        figures.value(f"growth in {changes} changes", growth, "MB")
    with Host() as host, Dnsmasq(host, workloads) as peer:
        figures.value(f"dnsmasq with {workloads} names", peer.process.resident_bytes() / MB, "MB")
    figures.limit("MB with all workloads", loaded, LIMIT_MB)
    figures.limit("MB of growth", growth, GROWTH_MB)
    figures.finish()


def resident(host: Host) -> float:
    assert host.agent is not None
    return host.agent.resident_bytes() / MB


def churn(host: Host, changes: int) -> None:
    """Connect and disconnect workloads that never run, `changes` commits in all."""
    for number in range(changes // 2):
        name = f"churn-{number % 50}"
        host.call("net.connect", network="many", workload=name)
        host.call("net.disconnect", workload=name)


def imports_only(host: Host) -> float:
    """Resident memory of a process that has imported the agent and done nothing."""
    code = "import sys, volt_agent.agent; print('ready', flush=True); sys.stdin.read()"
    process = host.start(*host.python("-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    size = process.resident_bytes() / MB
    process.stdin.close()
    process.wait()
    process.stdout.close()
    return size


if __name__ == "__main__":
    main()
