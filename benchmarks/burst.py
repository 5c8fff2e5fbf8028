"""The agent's loop while 2,000 links at a time are made and deleted around it.

The lag is measured by the agent itself, as it exports it (`volt_loop_lag_seconds`): only what was
recorded during the bursts counts. Beside it the same without any burst.
"""

from __future__ import annotations

import re
import time

from benchmarks.figures import Figures, options
from tests.support.host import Host
from tests.support.kernel_objects import shape
from tests.support.process import wait_until

LINKS = 2000
LIMIT_MS = 20.0
SECONDS = 30.0

Buckets = dict[float, float]  # upper bound in seconds -> how many were not above it


def main() -> None:
    seconds = 5.0 if options(__doc__).quick else SECONDS
    figures = Figures("Lag of the agent's loop")
    with Host() as host:
        host.start_agent()
        host.connect("volt0", "web", "db")
        before = buckets(host)
        time.sleep(seconds)  # the idle time that is measured
        quiet = buckets(host)
        wanted, bursts = shape(host), burst_for(host, seconds)
        figures.value(f"bursts of {LINKS} links", bursts, "bursts")
        figures.value("p99 idle, at most", p99(before, quiet) * 1000, "ms")
        lag = p99(quiet, buckets(host)) * 1000
        figures.value("p99 during the bursts, at most", lag, "ms")
        wait_until(lambda: shape(host) == wanted, "nothing was missed", 10)
    figures.limit("p99 of the loop's lag in ms", lag, LIMIT_MS)
    figures.finish()


def burst_for(host: Host, seconds: float) -> int:
    """One burst after the other for `seconds`; in each a port of volt's is deleted as well."""
    lines = [f"link add a{n} group 77 type veth peer name b{n}" for n in range(LINKS // 2)]
    batch = "\n".join([*lines, "link delete vc-web", "link delete group 77"]) + "\n"
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        host.run("ip", "-batch", "-", input=batch, within=60)
        wait_until(lambda: host.path("/sys/class/net/vc-web").exists(), "repaired", 10)
        count += 1
    return count


def buckets(host: Host) -> Buckets:
    """The agent's histogram of loop lag."""
    text = host.get("/metrics")[1]
    found = re.findall(r'volt_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', text)
    return {float(bound): float(count) for bound, count in found}


def p99(before: Buckets, after: Buckets) -> float:
    """The bound of the bucket in which the 99th percentile lies, of what was recorded between."""
    grown = {bound: after[bound] - before[bound] for bound in sorted(after)}
    total = max(grown.values())
    return next(bound for bound, count in grown.items() if count >= 0.99 * total)


if __name__ == "__main__":
    main()
