"""What a name costs: local names, cached names from upstream, names asked upstream anew.

volt, dnsmasq and unbound take turns in one private host, each pinned to one core and loaded from
the other. A figure is the median of the rounds. The upstream server, a dnsmasq that has an answer
to everything below one name, shares the core of the load. Names asked anew are measured with empty
caches (servers just started) and with full ones, and full ones also beside a dnsmasq as it comes,
which remembers 150 names.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE

from benchmarks import inside_names
from benchmarks.dns_load import SERVER_CORE, Load, load, pinned, questions
from benchmarks.figures import Figures, options
from benchmarks.peers import find, libraries
from tests.support.host import Host
from tests.support.machine import ROOM
from tests.support.process import Process

# The promises: CPU per query, volt's beside dnsmasq's; and how much dearer many names may be.
LOCAL, CACHED, COLD = 1 / 1.0, 1 / 0.9, 1 / 1.3
GROWTH = 1.15
OUTSIDE = "outside.example"
UPSTREAM, UPSTREAM_PORT = "127.0.3.1", 5300
CACHED_NAMES = 1_000
COLD_NAMES = 5_000
# Once dnsmasq's cache is full it looks through all of it for every answer (cache_scan_free in its
# cache.c): 40 us a name while there is room or with the 150 names of its default, 55 with 1,000,
# 270 with 10,000. What the others spend does not depend on what they remember. So there are three
# figures: just started; after this many other names, which is more than any of the three remembers,
# with caches of about the same size (volt: 16 MiB, some 15,000 names); and with the default.
FULL = 20_000
DNSMASQ_CACHE, DNSMASQ_DEFAULT = 10_000, 150
SECONDS = 1.0  # of each turn
SOURCE = str(inside_names.ASKER)

Server = tuple[str, Process]  # where it answers, and what it is


def main() -> None:
    quick = options(__doc__).quick
    sizes, rounds = ((100, 10_000), 3) if quick else ((100, 10_000, 100_000), 7)
    figures = Figures("DNS: CPU per query (us), one core")
    with Host() as host:
        for address in (inside_names.NETWORK.gateway, SOURCE):
            host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        local = {size: of_local_names(figures, host, size, rounds) for size in sizes}
        with upstream(host):
            cached = of_cached_names(figures, host, rounds)
            cold = of_cold_names(figures, host, 2 if quick else 5)
    for what, results, most in (
        ("10,000 local names", local[10_000], LOCAL),
        ("cached names", cached, CACHED),
        *((f"cold names, {state}", results, COLD) for state, results in cold.items()),
    ):
        ratio = cpu(results["volt"]) / cpu(results["dnsmasq"])
        figures.limit(f"{what}: volt / dnsmasq", ratio, most)
    few, many = (cpu(local[size]["volt"]) for size in (sizes[0], sizes[-1]))
    figures.limit(f"{sizes[-1]} local names / {sizes[0]}", many / few, GROWTH)
    figures.finish()


def show(figures: Figures, what: str, results: dict[str, list[Load]]) -> dict[str, list[Load]]:
    for who, loads in results.items():
        figures.samples(f"{what}: {who}", [each.cpu_us for each in loads], "us")
        figures.value("  queries per second", statistics.median(e.qps for e in loads), "1/s")
        amiss = sum(each.lost + each.failed for each in loads)
        figures.value("  lost, or not NOERROR", amiss, "")
    return results


def cpu(loads: Iterable[Load]) -> float:
    return statistics.median(each.cpu_us for each in loads)


# ---- what is asked ------------------------------------------------------------------------------


def of_local_names(figures: Figures, host: Host, size: int, rounds: int) -> dict[str, list[Load]]:
    """All names in random order, again and again; each was asked for once before."""
    names = [inside_names.name_of(number) for number in range(size)]
    random.Random(size).shuffle(names)
    file = questions(host, "local", names)
    with contenders(host, size) as servers:
        return show(figures, f"{size} local names", _in_turn(host, servers, file, rounds))


def of_cached_names(figures: Figures, host: Host, rounds: int) -> dict[str, list[Load]]:
    file = questions(host, "cached", (f"c{i}.{OUTSIDE}" for i in range(CACHED_NAMES)))
    with contenders(host, 1) as servers:
        results = _in_turn(host, servers, file, rounds)
    return show(figures, f"{CACHED_NAMES} cached names", results)


def of_cold_names(figures: Figures, host: Host, rounds: int) -> dict[str, dict[str, list[Load]]]:
    """Names that nobody has asked for before, by the state of the caches."""
    empty: dict[str, list[Load]] = {}
    for turn in range(rounds):
        with contenders(host, 1) as servers:
            _ask_anew(host, servers, COLD_NAMES, f"e{turn}", empty)
    states = {"empty caches": empty}
    for what, size in (
        ("full caches", DNSMASQ_CACHE),
        (f"full, dnsmasq's of {DNSMASQ_DEFAULT}", DNSMASQ_DEFAULT),
    ):
        found: dict[str, list[Load]] = {}
        with contenders(host, 1, size) as servers:
            _ask_anew(host, servers, FULL, "fill", {})
            for turn in range(rounds):
                _ask_anew(host, servers, COLD_NAMES, f"f{turn}", found)
        states[what] = found
    return {what: show(figures, f"cold, {what}", found) for what, found in states.items()}


def _ask_anew(
    host: Host, servers: dict[str, Server], count: int, tag: str, results: dict[str, list[Load]]
) -> None:
    """Ask each server for `count` names of its own; each goes to the upstream server."""
    for who, (address, process) in servers.items():
        file = questions(host, "cold", (f"x{tag}-{i}-{who}.{OUTSIDE}" for i in range(count)))
        results.setdefault(who, []).append(load(host, process, address, SOURCE, file, 0))


def _in_turn(
    host: Host, servers: dict[str, Server], file: str, rounds: int
) -> dict[str, list[Load]]:
    results: dict[str, list[Load]] = {who: [] for who in servers}
    for address, process in servers.values():
        load(host, process, address, SOURCE, file, 0)
    for _ in range(rounds):
        for who, (address, process) in servers.items():
            results[who].append(load(host, process, address, SOURCE, file, SECONDS))
    return results


# ---- who answers --------------------------------------------------------------------------------


@contextmanager
def contenders(
    host: Host, names: int, remembered: int = DNSMASQ_CACHE
) -> Iterator[dict[str, Server]]:
    """The three servers, which know `names` local names and the upstream server.

    dnsmasq remembers `remembered` others.
    """
    running = {
        "volt": _volt(host, names),
        "dnsmasq": _dnsmasq(host, names, remembered),
        "unbound": _unbound(host, names),
    }
    try:
        for address, _ in running.values():
            host.traffic.await_name("host", address, "w0.volt.local", SOURCE, 60)
        yield running
    finally:
        for _, process in running.values():
            process.end()


@contextmanager
def upstream(host: Host) -> Iterator[None]:
    process = host.start(
        find("dnsmasq"), *_DNSMASQ, f"--listen-address={UPSTREAM}", f"--port={UPSTREAM_PORT}",
        f"--address=/{OUTSIDE}/192.0.2.77", "--local-ttl=600", environment=_unpacked(),
    )  # fmt: skip
    yield
    process.end()


def _volt(host: Host, names: int) -> Server:
    serving = host.python("-m", "benchmarks.inside_names", str(names), UPSTREAM, str(UPSTREAM_PORT))
    return str(inside_names.NETWORK.gateway), host.start(
        *pinned(SERVER_CORE, *serving), stdin=PIPE, stdout=DEVNULL
    )


def _dnsmasq(host: Host, names: int, remembered: int) -> Server:
    address, hosts = "127.0.1.1", ROOM / "hosts"
    lines = (f"{inside_names.address_of(i)} {inside_names.name_of(i)}\n" for i in range(names))
    host.path(hosts).write_text("".join(lines))
    argv = (
        find("dnsmasq"), *_DNSMASQ, f"--listen-address={address}", f"--addn-hosts={hosts}",
        "--local=/volt.local/", f"--cache-size={remembered}",
        f"--server={UPSTREAM}#{UPSTREAM_PORT}",
    )  # fmt: skip
    return address, host.start(*pinned(SERVER_CORE, *argv), environment=_unpacked())


def _unbound(host: Host, names: int) -> Server:
    address, file = "127.0.2.1", ROOM / "unbound.conf"
    data = "".join(
        f'local-data: "{inside_names.name_of(i)} 5 IN A {inside_names.address_of(i)}"\n'
        for i in range(names)
    )
    host.path(file).write_text(
        f'server:\ninterface: {address}\naccess-control: 0.0.0.0/0 allow\nusername: ""\n'
        'chroot: ""\ndirectory: "/run"\npidfile: ""\nuse-syslog: no\nmodule-config: "iterator"\n'
        f'do-not-query-localhost: no\nlocal-zone: "volt.local." static\n{data}'
        f'forward-zone:\nname: "."\nforward-addr: {UPSTREAM}@{UPSTREAM_PORT}\n'
        "remote-control:\ncontrol-enable: no\n"
    )
    argv = (find("unbound"), "-d", "-c", str(file))
    return address, host.start(*pinned(SERVER_CORE, *argv), environment=_unpacked(), stderr=DEVNULL)


_DNSMASQ = (
    "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-hosts", "--no-resolv",
    "--bind-interfaces", "--pid-file=", "--log-facility=/dev/null",
)  # fmt: skip


def _unpacked() -> dict[str, str]:
    return {"LD_LIBRARY_PATH": libraries()}


if __name__ == "__main__":
    main()
