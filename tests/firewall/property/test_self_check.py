"""The property test would notice: an error planted in the kernel, in the model, in the wires."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.firewall.property.bench import JUDGES, Bench
from tests.firewall.property.packets import Probe
from tests.firewall.property.reading import Reading, read
from tests.firewall.property.states import ATTEMPTS, State, without_one
from tests.firewall.property.test_model_is_kernel import smallest
from volt_agent.model.firewall import Forward, Peer, Policy, Rule
from volt_agent.model.host import HostPolicy
from volt_agent.model.ports import PortRange
from volt_agent.model.snapshot import Snapshot

pytestmark = pytest.mark.kernel

HTTP = (PortRange(80, 80),)
ANN, BOB, CAT = (Peer("workload", name) for name in ("ann", "bob", "cat"))
PLAIN = State(HostPolicy())
FULL = replace(
    PLAIN,
    rules=(Rule("drop", 1, ANN, BOB, HTTP, "tcp", "drop"),),
    policies=(Policy("allow", 1, CAT, ANN, HTTP, "tcp", "allow"),),
    forwards=(Forward("tcp", PortRange(8080, 8080), "bob", 80),),
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("less", list(without_one(FULL)), ids=["rule", "policy", "forward"])
def test_notices_what_is_left_out_of_the_ruleset(bench: Bench, less: State) -> None:
    """The kernel lacks one object of the state."""
    bench.load(FULL)
    assert bench.disagreements() == []
    bench.load(less)
    loaded, bench.snapshot = bench.snapshot, FULL.snapshot()
    found = bench.disagreements()
    bench.snapshot = loaded
    assert found


def test_notices_one_inverted_verdict(bench: Bench) -> None:
    """The model is wrong about a single attempt of all."""
    wrong = ATTEMPTS[len(ATTEMPTS) // 2]

    def judge(snapshot: Snapshot, probe: Probe) -> Reading:
        said = read(snapshot, probe)
        if probe != wrong:
            return said
        return Reading(None if said.arrives_at else "bob", "inverted")

    bench.load(PLAIN)
    bench.judges = {"a liar": judge}
    found = bench.disagreements()
    bench.judges = dict(JUDGES)
    assert [each.partition(": arrived")[0] for each in found] == [str(wrong)]


def test_notices_a_packet_lost_on_the_way(bench: Bench) -> None:
    """Behind the host something drops: no verdict is read off that."""
    bench.load(PLAIN)
    bench.world.sh("bob", "nft", "-f", "-", given=_HOLE)
    with pytest.raises(AssertionError, match="left the host"):
        bench.disagreements()
    bench.world.sh("bob", "nft", "delete table inet hole")
    assert bench.disagreements() == []


def test_shows_the_smallest_state(bench: Bench) -> None:
    """Of a state with an error, what has nothing to do with it is left out."""
    crowded = replace(FULL, stopped=frozenset({"dan"}), reversed=frozenset({"eve"}))

    def judge(snapshot: Snapshot, probe: Probe) -> Reading:
        return Reading("bob", "forwards") if snapshot.forwards else read(snapshot, probe)

    bench.judges = {"a liar": judge}
    found = smallest(bench, crowded)
    bench.judges = dict(JUDGES)
    assert found == replace(PLAIN, forwards=FULL.forwards)


_HOLE = """
table inet hole {
	chain in {
		type filter hook input priority 0
		udp dport 80 drop
	}
}
"""
