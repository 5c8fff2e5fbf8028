"""How long names are not answered while the agent restarts, and whether packets notice.

200 datagrams/s between two workloads and 50 questions/s, with SIGTERM and with SIGKILL, alone and
with the sockets kept by a service manager. Beside it dnsmasq, stopped and started again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figures, options
from benchmarks.peers import Dnsmasq
from tests.support.host import Host
from tests.support.service import Service

GATEWAY = "10.0.0.1"
GAP_MS = 1000.0


def main() -> None:
    rounds = 3 if options(__doc__).quick else 10
    figures = Figures("Restart: the longest time without an answer")
    for how in (signal.SIGTERM, signal.SIGKILL):
        reports = [alone(how) for _ in range(rounds)]
        gap = _show(figures, f"{how.name}, alone", reports)
        figures.limit(f"DNS pause in ms, {how.name}", gap, GAP_MS)
        figures.limit("datagrams lost", sum(each["packets"]["lost"] for each in reports), 0)
    for order in ("restart", "kill"):
        reports = [managed(order) for _ in range(rounds)]
        _show(figures, f"{order}, sockets kept by the service manager", reports)
        figures.limit("questions lost", sum(each["names"]["lost"] for each in reports), 0)
        figures.limit("datagrams lost", sum(each["packets"]["lost"] for each in reports), 0)
    figures.samples("dnsmasq, stopped and started", [_dnsmasq() for _ in range(rounds)])
    figures.finish()


def _show(figures: Figures, what: str, reports: list[dict[str, Any]]) -> float:
    return figures.samples(what, [each["names"]["longest_gap_ms"] for each in reports])


def alone(how: signal.Signals) -> dict[str, Any]:
    """One restart of an agent that nobody manages."""
    with Host() as host:
        host.start_agent()

        def restart() -> None:
            host.stop_agent(how)
            host.start_agent()

        return _under_traffic(host, restart)


def managed(order: str) -> dict[str, Any]:
    """One restart by a service manager that keeps the sockets."""
    with Host() as host:
        service = Service(host, *host.agent_command)
        service.order("start")

        def restart() -> None:
            service.order(order)
            if order == "kill":
                service.order("start")

        try:
            return _under_traffic(host, restart)
        finally:
            service.close()


def _under_traffic(host: Host, restart: Callable[[], None]) -> dict[str, Any]:
    address = host.connect("volt0", "web", "db")["db"]
    host.traffic.serve("db", udp=[80])
    packets = host.traffic.start_stream("udp", source="web", target=address, port=80, rate=200)
    asked: dict[str, Any] = {"source": "web", "server": GATEWAY, "name": "db", "rate": 50}
    names = host.traffic.start_stream("dns", address=address, **asked)
    host.traffic.await_stream(names)
    restart()
    host.traffic.await_stream(names)
    return {
        "packets": host.traffic.stop_stream(packets),
        "names": host.traffic.stop_stream(names),
    }


def _dnsmasq() -> float:
    """The longest time without an answer over one restart, in ms."""
    with Host() as host:
        peer = Dnsmasq(host, 100)
        asked: dict[str, Any] = {"server": peer.SERVER, "name": "w0", "address": "10.64.0.2"}
        names = host.traffic.start_stream("dns", source="host", rate=50, **asked)
        host.traffic.await_stream(names)
        peer.process.end()
        with Dnsmasq(host, 100):
            host.traffic.await_stream(names)
            report = host.traffic.stop_stream(names)
        return float(report["longest_gap_ms"])


if __name__ == "__main__":
    main()
