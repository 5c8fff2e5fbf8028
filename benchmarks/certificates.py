"""Automatic certificates: how long they take, and what the agent's loop feels of twenty at once.

The CA is pebble, without its artificial waits. The lag is measured by the agent itself over a
minute (`volt status`); beside it the same agent with nothing to do. It runs at a real-time priority
meanwhile: what others do on the machine is not what is measured. At the end three routes of a fresh
host, as in the handbook's Full Ingress Setup.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.figures import Figures, options
from tests.support.acme import Pebble
from tests.support.host import Host
from tests.support.process import wait_until

AT_ONCE = 20
LAG_LIMIT_MS = 15.0
SETUP_LIMIT = 10.0  # seconds
WINDOW = 65.0  # seconds; the agent's own is a minute


class Undisturbed(Host):
    """A host on which the agent need not share the machine's processors."""

    @property
    def agent_command(self) -> list[str]:
        return ["chrt", "--rr", "1", *super().agent_command]


def main() -> None:
    window = 10.0 if options(__doc__).quick else WINDOW
    figures = Figures("Automatic certificates")
    with Undisturbed() as host:
        start(host)
        time.sleep(window)  # the idle time that is measured
        figures.value("loop lag, p99, idle", lag(host), "ms")
        hosts = [f"h{number}.example.com" for number in range(AT_ONCE)]
        figures.value(f"first {AT_ONCE} at once", issue(host, hosts), "s")
        rounds = renew_for(host, hosts, window)
        figures.samples(f"{AT_ONCE} renewed at once", rounds, "s")
        worst = lag(host)
        figures.value("loop lag, p99, meanwhile", worst, "ms")
    with Host() as host:
        start(host)
        seconds = issue(host, ["app.example.com", "api.example.com", "ws.example.com"])
        figures.value("three routes of a fresh host", seconds, "s")
    figures.limit("seconds of three routes", seconds, SETUP_LIMIT)
    figures.limit("p99 of the loop's lag in ms", worst, LAG_LIMIT_MS)
    figures.finish()


def start(host: Host) -> None:
    pebble = Pebble(host)
    host.path(host.room / "config.yaml").write_text(pebble.config())
    host.start_agent()


def lag(host: Host) -> float:
    """Milliseconds, p99 of the last minute."""
    return float(host.call("status")["loop_lag_p99_ms"])


def issue(host: Host, hosts: Sequence[str]) -> float:
    """Seconds until each of `hosts` has a route with a certificate."""
    begun = time.monotonic()
    for each in hosts:
        name = each.partition(".")[0]
        host.call("ingress.create", name=name, hostname=each, backends=["10.0.0.9:80"], tls="auto")
    wait_until(lambda: len(serials(host)) == len(hosts), "certificates", 120)
    return time.monotonic() - begun


def renew_for(host: Host, hosts: Sequence[str], seconds: float) -> list[float]:
    """Have all renewed at the same time, again and again; how many seconds each round took."""
    rounds, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        begun, before = time.monotonic(), serials(host)
        host.call("ingress.cert.renew", force=True)

        def are_other(former: frozenset[str] = before) -> bool:
            found = serials(host)
            return len(found) == len(hosts) and not found & former

        wait_until(are_other, "other certificates", 120)
        rounds.append(time.monotonic() - begun)
    return rounds


def serials(host: Host) -> frozenset[str]:
    """Of the certificates that are in use."""
    time.sleep(0.2)  # asking is work for the loop that is measured
    found = host.call("ingress.cert.list")
    return frozenset(each["serial"] for each in found if each["state"] == "valid")


if __name__ == "__main__":
    main()
