"""The judge of many packets says what `decide` says of each."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firewall.lab import SNAPSHOT
from tests.firewall.test_incremental import forwards, network_policies, objects, rules
from volt_agent.firewall.judge import Judge
from volt_agent.firewall.verdict import Packet, decide
from volt_agent.model.snapshot import Change, Object

SOURCES = ["10.0.0.5", "10.0.0.6", "10.30.0.5", "10.97.0.9", "192.0.2.2"]
DESTINATIONS = ["10.0.0.5", "10.0.0.6", "10.0.0.1", "10.97.0.1", "192.0.2.1", "10.30.0.5"]

packets = st.builds(
    Packet,
    origin=st.sampled_from(["workload", "host", "outside"]),
    source=st.sampled_from([IPv4Address(each) for each in SOURCES]),
    destination=st.sampled_from([IPv4Address(each) for each in DESTINATIONS]),
    protocol=st.sampled_from(["tcp", "udp", "icmp", "other"]),
    port=st.sampled_from([0, 5, 53, 80, 90, 2000]),
    is_local=st.booleans(),
    bridge_network=st.sampled_from([None, "default", "a"]),
)


@given(
    st.lists(st.one_of(rules, network_policies, forwards, objects), max_size=12),
    st.lists(packets, min_size=1, max_size=20),
)
@settings(deadline=None)
def test_judge_says_what_decide_says(present: list[Object], tried: list[Packet]) -> None:
    """It only looks at less, also where two workloads have one address, or two networks one."""
    snapshot = SNAPSHOT.apply(Change(put=tuple(present)))
    judge = Judge(snapshot)
    assert [judge.decide(each) for each in tried] == [decide(snapshot, each) for each in tried]
