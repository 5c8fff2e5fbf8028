"""Steps without structure go to the kernel past nft, and lead to the same ruleset."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.firewall.lab import APP, GUEST, POLICY, SNAPSHOT, WEB, Lab
from tests.firewall.objects import forward, policy, rule
from tests.firewall.test_incremental import changes
from volt_agent.firewall import render
from volt_agent.firewall.elements import element_requests
from volt_agent.firewall.incremental import Compiled
from volt_agent.firewall.ruleset import Chain, Delta, Element
from volt_agent.kernel.nft import scratch_listing
from volt_agent.model.snapshot import Change, Object, Snapshot

PLACES = [("inet", "volt"), ("bridge", "volt")]

# Every set without ranges, and shapes of rules that look at each kind of field.
OBJECTS: tuple[Object, ...] = (
    replace(WEB, workload="bound", interface="vc-bound", address=IPv4Address("10.0.0.77")),
    replace(APP, workload="lifted", interface="vc-lifted", port_security=False),
    replace(GUEST, workload="learning", interface="vb-learning"),
    replace(POLICY, inbound="allow", ping=True, settling=True, interfaces=("tun0",)),
    forward("tcp 8001", "app", 80),
    forward("udp 8001-8003", "app", 9000, "192.0.2.1"),
    rule("a", 11, "drop", "10.1.0.0/16", "web", "udp 1-3"),
    rule("b", 12, "drop", "backend", "internal", "tcp 2000-3000"),
    rule("c", 13, "drop", "outside", "host", "icmp"),
    rule("d", 14, "drop", "any", "host"),
    policy("a", "allow", "app", "default", "udp"),
    policy("b", "deny", "default", "app"),
)
# The first of each kind: their sets come with them.
EARLIER: tuple[Object, ...] = (
    rule("a0", 1, "drop", "10.2.0.0/16", "app", "tcp 1,2"),
    rule("b0", 2, "drop", "default", "internal", "tcp 1-999"),
    rule("c0", 3, "drop", "outside", "host", "udp"),
    rule("d0", 4, "drop", "any", "host", "any"),
    policy("a0", "allow", "web", "backend", "tcp"),
    policy("b0", "deny", "backend", "web"),
)


@pytest.mark.kernel
@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: f"{type(each).__name__} {each.key}")
def test_an_object_comes_and_goes_by_elements_alone(lab: Lab, each: Object) -> None:
    """And each time the kernel has what the full text would have loaded."""
    before = SNAPSHOT.apply(Change(put=(*EARLIER, POLICY)))
    after = before.apply(Change(put=(each,)))
    compiled = Compiled.of(before)
    lab.run(lab.nft.run(render.full(compiled.elements())))
    come = Change(put=(each,))
    for snapshot, change in ((after, come), (before, before.inverse(come))):
        step = compiled.plan(snapshot, change)
        requests = element_requests(step.delta)
        assert requests is not None
        lab.run(lab.nft.change_elements(requests))
        compiled.adopt(step)
        assert_in_force(lab, compiled)


@pytest.mark.kernel
@given(steps=st.lists(changes, max_size=5))
@settings(max_examples=15, deadline=None)
def test_both_ways_in_turn_end_up_where_the_full_text_leads(lab: Lab, steps: list[Change]) -> None:
    """Whichever a step takes."""
    snapshot = Snapshot()
    compiled = Compiled.of(snapshot)
    lab.run(lab.nft.run(render.full(compiled.elements())))
    for change in steps:
        snapshot = snapshot.apply(change)
        step = compiled.plan(snapshot, change)
        requests = element_requests(step.delta)
        if requests is None:
            lab.run(lab.nft.run(render.delta(step.delta)))
        elif requests:
            lab.run(lab.nft.change_elements(requests))
        compiled.adopt(step)
    assert_in_force(lab, compiled)


def assert_in_force(lab: Lab, compiled: Compiled) -> None:
    at_once = lab.run(scratch_listing(render.full(compiled.elements()), PLACES))
    assert [lab.run(lab.nft.listing(*place)) for place in PLACES] == at_once
    assert None not in at_once


@pytest.mark.parametrize(
    "delta",
    [
        Delta(add=(Element("gateways", "10.0.0.1"),), new_sets=("rule-0-any-32-any-drop",)),
        Delta(delete=(Element("gateways", "10.0.0.1"),), chains=(Chain("policies"),)),
        Delta(add=(Element("sources", '"a" . 10.0.0.0/24'),)),
        Delta(add=(Element("host-ports", "6 . 80"),)),
        Delta(add=(Element("port-macs", '"a" . no MAC'),)),
        Delta(add=(Element("gateways", "10.0.0.0/24"),)),
        Delta(add=(Element("forwards", "6 . 65536 : 10.0.0.1 . 80"),)),
        Delta(add=(Element("own-gateway", "10.0.0.1"),)),
        Delta(add=tuple(Element("gateways", f"10.0.{n}.1") for n in range(257))),
    ],
    ids=["a set", "a chain", "a range", "ports", "no MAC", "a subnet", "a port", "a part", "many"],
)
def test_what_takes_more_is_left_to_nft(delta: Delta) -> None:
    """Which says what is wrong with it, if something is."""
    assert element_requests(delta) is None
