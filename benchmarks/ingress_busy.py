"""Everything else while the ingress has all it can do: stops of backends, DNS, commands, the loop.

wrk asks a route with two workloads behind it as fast as it can, from outside a private host. One of
the workloads stops and starts again and again: how long until the stop was effective (the agent's
own figure), and how many requests failed. Meanwhile names are asked for and commands given; at the
end the agent says how late its loop was (p99 of the last minute, under load all the time).
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures, options, percentile
from benchmarks.peers import find, libraries
from tests.support.host import HOST_ADDRESS, Host
from tests.support.machine import ROOM
from tests.support.process import Process, wait_until

GATEWAY = "10.0.0.1"
STOP_MS, LAG_MS = 5.0, 15.0
CONNECTIONS = 64
BACKENDS = ("one", "two")
AGENT_CORE, OTHER_CORE = 0, 1
_NGINX = """
daemon off; master_process off; worker_processes 1; pid {room}/{name}.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {room}/{name}-b; proxy_temp_path {room}/{name}-p;
  fastcgi_temp_path {room}/{name}-f; uwsgi_temp_path {room}/{name}-u;
  scgi_temp_path {room}/{name}-s;
  server {{ listen 80; location / {{ return 200 "hello, world\\n"; }} }}
}}
"""


def main() -> None:
    rounds = 5 if options(__doc__).quick else 30
    figures = Figures(f"The agent under full load of its ingress, {rounds} stops of a backend")
    with Host() as host:
        agent = host.start_agent()
        prefer(agent)
        host.connect("volt0", *BACKENDS)
        servers = {name: serve(host, name) for name in BACKENDS}
        host.call(
            "ingress.create",
            name="web",
            hostname="app.example.com",
            backends=[f"{each}:80" for each in BACKENDS],
        )
        await_healthy(host, 2)
        quiet = stops(host, servers, rounds)
        names, commands = answers(host, 10 * rounds)
        figures.samples("stop -> effective, nothing else to do", quiet)
        figures.samples("  a name", names)
        figures.samples("  a command (net.list)", commands)
        busy(figures, host, servers, rounds)
        for each in servers.values():
            each.end()
    figures.finish()


def prefer(agent: Process) -> None:
    """Give the agent a core before whoever else works on this machine."""
    for thread in Path(f"/proc/{agent.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {AGENT_CORE})
        os.setpriority(os.PRIO_PROCESS, int(thread.name), -20)
    group = Path(f"/proc/{agent.pid}/autogroup")  # its session's weight among others, sched(7)
    if group.exists():
        group.write_text("-20")


def busy(figures: Figures, host: Host, servers: dict[str, Process], rounds: int) -> None:
    """The same under load."""
    began = time.monotonic()
    load = wrk(host)
    wait_until(lambda: requests(host) > 1000, "the load is on", 20)
    before = requests(host)
    stopped = stops(host, servers, rounds)
    names, commands = answers(host, 10 * rounds)
    rate = (requests(host) - before) / (time.monotonic() - began)
    # The last minute's, if it was not that long.
    lag = host.get("/status")[1]
    load.end(signal.SIGINT)
    figures.value("requests each second meanwhile", rate, "")
    median = figures.samples("stop -> effective, under load", stopped)
    figures.samples("  a name", names)
    figures.samples("  a command (net.list)", commands)
    said = load.stdout.read()
    failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    failed += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", said)))
    lags = re.search(r'"loop_lag_p99_ms": *([\d.]+)', lag)
    assert lags is not None, lag
    figures.limit("failed requests", failed, 0)
    figures.limit("stop under load, median, ms", median, STOP_MS)
    figures.limit("loop lag, p99, ms", float(lags[1]), LAG_MS)
    figures.limit("a name, p99, ms", percentile(names, 0.99), 10 * LAG_MS)


def serve(host: Host, name: str) -> Process:
    """nginx in a workload."""
    path = ROOM / f"{name}.conf"
    host.path(path).write_text(_NGINX.format(room=ROOM, name=name))
    return host.start(
        "taskset", "-c", str(OTHER_CORE),
        find("nginx"), "-p", str(ROOM), "-c", str(path), "-e", "/dev/null", "-g", "user root;",
        where=name, environment={"LD_LIBRARY_PATH": libraries()},
    )  # fmt: skip


def wrk(host: Host) -> Process:
    """As many requests as possible, until it is ended."""
    return host.start(
        "taskset", "-c", str(OTHER_CORE), find("wrk"), "-t1", f"-c{CONNECTIONS}", "-d600s",
        "--timeout", "10s", "-H", "Host: app.example.com", f"http://{HOST_ADDRESS}/",
        where="outside", stdout=-1, environment={"LD_LIBRARY_PATH": libraries()},
    )  # fmt: skip


def requests(host: Host) -> int:
    return int(host.call("ingress.status")["requests"])


def stops(host: Host, servers: dict[str, Process], rounds: int) -> Sequence[float]:
    """Milliseconds of each stop of the second backend, until it was effective."""
    for _ in range(rounds):
        host.remove_workload("two")
        await_healthy(host, 1)
        servers["two"].end()
        host.add_workload("two")
        host.address_of("two")
        servers["two"] = serve(host, "two")
        await_healthy(host, 2)
    events = host.events("workload.stopped")[-rounds:]
    return [each["effective_ms"] for each in events]


def answers(host: Host, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of answers to questions for a name, and to commands."""
    names: list[float] = []
    commands: list[float] = []
    for _ in range(count):
        for samples, ask in ((names, ask_name), (commands, ask_agent)):
            began = time.perf_counter()
            ask(host)
            samples.append((time.perf_counter() - began) * 1e3)
    return names, commands


def ask_name(host: Host) -> None:
    host.traffic.query("host", GATEWAY, "one")


def ask_agent(host: Host) -> None:
    host.call("net.list")


def await_healthy(host: Host, count: int) -> None:
    def healthy() -> bool:
        (route,) = host.call("ingress.list")
        return [each["status"] for each in route["backends"]].count("healthy") == count

    wait_until(healthy, f"{count} backends are healthy", 20)


if __name__ == "__main__":
    main()
