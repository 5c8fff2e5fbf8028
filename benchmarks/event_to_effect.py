"""From a workload's start or stop until everything has taken effect, with many others present.

Measured from outside the agent: from the moment its namespace exists until the DNS server gives the
right answer, which comes last: link, address, route, firewall and name are in force by then. The
planes' own shares are the agent's own figures. Beside it, in the same host: the same netlink calls
made bare, and the time dnsmasq needs for a name that is put into its hostsdir.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import NamedTuple

from benchmarks.figures import Figures, options
from benchmarks.peers import Dnsmasq
from benchmarks.population import GATEWAY, populate
from tests.support.host import Host
from tests.support.process import wait_until

# The promises: the start, beside the bare calls of the same run; a name and the firewall alone; a
# stop; and how much dearer 1,000 workloads may make name and firewall than 10.
BARE_FACTOR, BARE_EXTRA_MS = 1.5, 2.0
PLANES_MS, STOP_MS, GROWTH = 2.0, 5.0, 1.2
PLANES = ("firewall", "dns")
# After a namespace's end the kernel takes it apart for some ten milliseconds, under the lock that
# every new link needs. Starts are measured on a quiet host; "right after its stop" shows the other.
PAUSE = 0.1
TURN = 10  # rounds of the agent, then as many of the bare calls


class Measured(NamedTuple):
    """All samples with one number of workloads present, in milliseconds."""

    start: list[float]
    again: list[float]
    stop: list[float]
    planes: dict[str, list[float]]
    bare: dict[str, list[float]]
    peer: list[float]


def main() -> None:
    quick = options(__doc__).quick
    sizes, rounds = ((10, 100), 20) if quick else ((10, 100, 1000), 100)
    figures = Figures("From event to effect")
    results = {}
    with Host() as host:
        host.start_agent()
        present = 0
        for size in sizes:
            populate(host, size, already=present)
            present = size
            results[size] = measure(host, rounds, size)
            show(figures, size, results[size])
    few, many = results[sizes[0]], results[sizes[-1]]
    for plane in PLANES:
        before, after = (statistics.median(each.planes[plane]) for each in (few, many))
        what = f"{plane} with {sizes[-1]} workloads / with {sizes[0]}"
        figures.limit(what, after / before, GROWTH)
    figures.finish()


def measure(host: Host, rounds: int, present: int) -> Measured:
    """Start and stop a workload again and again, then let the peers do their part."""
    result = Measured([], [], [], {plane: [] for plane in PLANES}, {"bare": [], "pyroute2": []}, [])
    address = host.call("net.connect", network="many", workload="probe")["ip"]
    asked = {"name": "probe", "server": GATEWAY, "within": 10}
    # In turn with the bare calls: this machine's pace changes from one second to the next.
    for number in range(rounds):
        if number % TURN == 0:
            bare_calls = host.python("-m", "benchmarks.bare_attach", str(TURN), str(present))
            bare = host.run(*bare_calls, within=120)
            for what, samples in json.loads(bare.stdout).items():
                result.bare[what].extend(samples)
        result.start.append(host.do("appear", address=address, **asked) * 1000)
        planes = host.events("workload.started")[-1]["planes_ms"]
        for plane in PLANES:
            result.planes[plane].append(planes[plane])
        result.stop.append(host.do("vanish", **asked) * 1000)
        _await_quiet(host)
    for _ in range(rounds // 2):
        result.again.append(host.do("appear", address=address, **asked) * 1000)
        host.do("vanish", **asked)
    host.call("net.disconnect", workload="probe")
    result.peer.extend(_dnsmasq(rounds, present))
    return result


def _await_quiet(host: Host) -> None:
    """Wait until the stopped workload's link has been taken apart, and what else that causes."""
    link = host.path("/sys/class/net/vc-probe")
    wait_until(lambda: not link.exists(), "the link is gone", 5)
    time.sleep(PAUSE)


def _dnsmasq(rounds: int, present: int) -> list[float]:
    """How long dnsmasq takes for a new name, in a host of its own."""
    samples = []
    with Host() as host, Dnsmasq(host, present) as peer:
        for number in range(rounds):
            address = f"10.99.0.{number + 1}"
            began = peer.write(f"new-{number}", address)
            right = host.traffic.await_name("host", peer.SERVER, f"new-{number}", address)
            samples.append((right - began) * 1000)
    return samples


def show(figures: Figures, present: int, measured: Measured) -> None:
    """The rows of one number of workloads, and the limits that concern it."""
    start = figures.samples(f"start -> effective ({present} present)", measured.start)
    figures.samples("  right after its stop", measured.again)
    bare = figures.samples("  the same netlink calls, bare", measured.bare["bare"])
    figures.samples("  the same through pyroute2, one by one", measured.bare["pyroute2"])
    alone = sum(figures.samples(f"  {plane} alone", measured.planes[plane]) for plane in PLANES)
    stop = figures.samples("stop -> name gone", measured.stop)
    figures.samples("dnsmasq: file in hostsdir -> name right", measured.peer)
    figures.limit("start, median", start, BARE_FACTOR * bare + BARE_EXTRA_MS)
    figures.limit("name and firewall alone, median", alone, PLANES_MS)
    figures.limit("stop, median", stop, STOP_MS)


if __name__ == "__main__":
    main()
