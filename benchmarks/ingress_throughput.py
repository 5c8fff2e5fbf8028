"""CPU of the ingress for each request, beside nginx and HAProxy, one core each, in the same run.

CPU time rather than requests per second: it does not depend on what else the machine does.
"""

from __future__ import annotations

import socket
import statistics

from benchmarks.figures import options
from benchmarks.ingress_peers import Daemon, Field

# What is asked -> (connections, path, script, limit as ratio to nginx, to HAProxy).
CASES: dict[str, tuple[int, str, str, float | None, float | None]] = {
    "small GET, 64 connections": (64, "/", "", 1.1, None),
    "changing paths, 64 connections": (64, "/", "paths", 1.1, None),
    "every head unique, 64 connections": (64, "/", "unique", 1.25, 1.11),
    "small GET, 512 connections": (512, "/", "", 1.25, 1.11),
    "a new connection each": (64, "/", "close", 1.67, None),
    "64 KiB": (64, "/64k", "", None, 1.0),
    "10 MiB": (8, "/10m", "", None, 1.0),
    "POST 1 MiB": (8, "/post", "post", None, 1.11),
}
IDLE = 1000


def main() -> None:
    quick = options(__doc__).quick
    seconds, rounds = (1, 2) if quick else (2, 5)
    with Field() as field:
        proxies = [field.volt(), field.nginx(), field.haproxy()]
        print(f"  {'CPU us for each request':36}" + "".join(f"{each.name:>20}" for each in proxies))
        idle = [(each.name, idle_bytes(each) / 1000) for each in proxies]
        missed = [case for case in CASES if not measure(field, proxies, case, seconds, rounds)]
        crowd(field, proxies[0], seconds, rounds)
        for name, size in idle:
            print(f"  idle connection, {name}: {size:.2f} KB")
    if missed:
        print(f"  MISSED: {', '.join(missed)}")
        raise SystemExit(1)


def measure(field: Field, proxies: list[Daemon], case: str, seconds: int, rounds: int) -> bool:
    connections, path, script, to_nginx, to_haproxy = CASES[case]
    found: dict[str, list[tuple[float, float, float]]] = {each.name: [] for each in proxies}
    for each in proxies:
        field.wrk(each, 1, connections, path, script)
    for _ in range(rounds):
        for each in proxies:
            found[each.name].append(field.wrk(each, seconds, connections, path, script))

    def ratio(peer: str) -> float:
        pairs = zip(found["volt"], found[peer], strict=True)
        return statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)

    cells = ""
    for each in proxies:
        cpu, rate, late = map(statistics.median, zip(*found[each.name], strict=True))
        cells += f"{cpu:7.1f} {rate / 1000:5.1f}k {late:4.0f}ms"
    verdicts = []
    for peer, limit in (("nginx", to_nginx), ("haproxy", to_haproxy)):
        kept = limit is None or ratio(peer) <= limit
        verdicts.append(kept)
        cells += f"  {ratio(peer):5.2f} {peer}{'' if limit is None else f' <= {limit}'}"
        cells += "" if kept else " MISSED"
    print(f"  {case:36}{cells}", flush=True)
    return all(verdicts)


def crowd(field: Field, alone: Daemon, seconds: int, rounds: int) -> None:
    many = field.volt(10_000)
    ratios = []
    for _ in range(rounds):
        one, _rate, _late = field.wrk(alone, seconds, 64)
        ten_thousand, _rate, _late = field.wrk(many, seconds, 64, host="h5000.example.com")
        ratios.append(ten_thousand / one)
    print(f"  10,000 routes: {statistics.median(ratios):.3f} of the CPU with one (at most 1.05)")


def idle_bytes(proxy: Daemon) -> float:
    """Resident bytes for each connection that has made one request and waits."""
    request = b"GET / HTTP/1.1\r\nHost: h0.example.com\r\n\r\n"

    def one() -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", proxy.port), 5)
        sock.sendall(request)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        return sock

    warm = [one() for _ in range(50)]
    before = proxy.resident
    held = [one() for _ in range(IDLE)]
    after = proxy.resident
    for each in (*warm, *held):
        each.close()
    return (after - before) / IDLE


if __name__ == "__main__":
    main()
