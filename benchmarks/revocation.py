"""A policy is taken back under 1,000 open connections, with 10,000 other objects present.

From the change to the last entry that conntrack forgets, in the agent's own way: the ruleset
without the policy, which connections that concerns, what the model says of each, and the deletion.
Nothing gets through afterwards: the ruleset drops what belongs to no tracked connection.
"""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import crowd
from benchmarks.figures import Figures, options
from tests.firewall.property.bench import Bench
from tests.firewall.property.states import State
from tests.firewall.property.world import HOST, PLACES
from tests.support.namespaces import network_namespace, socket_in
from volt_agent.firewall.revoke import Survivors, revoked
from volt_agent.kernel.conntrack import forget
from volt_agent.model.firewall import Peer, Policy
from volt_agent.model.host import HostPolicy
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Change

PRESENT, STREAMS, PORT = 10_000, 1000, 7000
# The promise, in milliseconds.
CUT_MS = 100.0
PATIENT = 5.0  # seconds for a connection
SOURCE, TARGET = "ann", "cat"
WAY = Policy(
    "way",
    PRESENT,
    Peer("workload", SOURCE),
    Peer("workload", TARGET),
    (PortRange(PORT, PORT),),
    "tcp",
    "allow",
)


def main() -> None:
    rounds = 3 if options(__doc__).quick else 10
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = Figures(f"A revocation with {PRESENT:,} rules, policies and forwards present")
    bench = Bench()
    try:
        bench.load(State(HostPolicy()))
        bench.apply(Change(put=(*crowd.residents(), *crowd.objects(PRESENT))))
        samples = [cut(bench) for _ in range(rounds)]
    finally:
        bench.close()
    wall, cpu = zip(*samples, strict=True)
    median = figures.samples(f"{STREAMS} connections cut", wall)
    figures.samples("  CPU of it", cpu)
    figures.limit(f"{STREAMS} connections cut, median", median, CUT_MS)
    figures.finish()


def cut(bench: Bench) -> tuple[float, float]:
    """Milliseconds, and those of CPU in this process, until all are cut."""
    bench.apply(Change(put=(WAY,)))
    with ExitStack() as streams, network_namespace(Path(bench.world.path("host"))):
        open_streams(bench, streams)
        began, cpu = time.perf_counter(), time.process_time()
        old, change = bench.snapshot, Change(delete=(WAY,))
        bench.apply(change)
        survivors = Survivors(old, bench.snapshot, [HOST])
        gone = forget(revoked(old, bench.snapshot, change), survivors.spare)
        took = (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000
        assert gone == STREAMS, f"{gone} were cut"
    bench.forget()
    return took


def open_streams(bench: Bench, streams: ExitStack) -> None:
    """Connect; both ends are open until `streams` is closed."""
    target = next(each for each in PLACES if each.workload == TARGET)
    listener = socket_in(bench.world.path(TARGET), socket.AF_INET, socket.SOCK_STREAM)
    streams.enter_context(listener)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", PORT))
    listener.listen()
    listener.settimeout(PATIENT)
    for _ in range(STREAMS):
        client = socket_in(bench.world.path(SOURCE), socket.AF_INET, socket.SOCK_STREAM)
        streams.enter_context(client)
        client.settimeout(PATIENT)
        client.connect((str(target.address), PORT))
        streams.enter_context(listener.accept()[0])


if __name__ == "__main__":
    main()
