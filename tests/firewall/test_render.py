"""The ruleset as text: what it says, and that nft and the kernel take it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firewall.lab import SNAPSHOT, Lab
from tests.firewall.test_incremental import changes
from volt_agent.firewall import render
from volt_agent.firewall.incremental import Compiled
from volt_agent.firewall.ruleset import Delta, Element
from volt_agent.firewall.tables import TABLES
from volt_agent.kernel.nft import scratch_listing
from volt_agent.model.snapshot import Change, Snapshot

PLACES = [("inet", "volt"), ("bridge", "volt")]


def test_full_text_replaces_both_tables_and_no_other() -> None:
    """Each is added (so that deleting succeeds), deleted and defined; no other table is named."""
    text = render.full(Compiled.of(SNAPSHOT).elements())
    named = re.findall(r"^(add|delete|table)\b(?: table)? (inet|bridge) (\S+)", text, re.MULTILINE)
    assert named == [
        (verb, family, "volt")
        for family in ("inet", "bridge")
        for verb in ("add", "delete", "table")
    ]


def test_full_text_has_the_four_chains_of_the_handbook() -> None:
    """An administrator finds them under these names, in the table `volt`."""
    text = render.full([])
    for chain in ("volt-input", "volt-forward", "volt-nat-pre", "volt-nat-post"):
        assert re.search(rf"chain {chain} {{\n\t\ttype \w+ hook", text)


def test_rules_do_not_depend_on_the_state_of_the_host() -> None:
    """Everything that grows is a set: chains and rules are always the same."""

    def chains(text: str) -> list[str]:
        return re.findall(r"^\tchain .*?^\t}", text, re.MULTILINE | re.DOTALL)

    assert chains(render.full([])) == chains(render.full(Compiled.of(SNAPSHOT).elements()))


def test_delta_deletes_before_it_adds() -> None:
    """One command for each set, in one text."""
    delta = Delta(
        delete=(Element("bridges", '"a"'),),
        add=(Element("bridges", '"b"'), Element("bound-ports", '"c"'), Element("bridges", '"d"')),
    )
    assert render.delta(delta).splitlines() == [
        'delete element inet volt bridges { "a" }',
        'add element bridge volt bound-ports { "c" }',
        'add element inet volt bridges { "b", "d" }',
    ]


def test_names_are_unique_over_both_tables() -> None:
    """A set or a counter is found by its name alone."""
    for kind in ("sets", "counters"):
        names = [each.name for table in TABLES for each in getattr(table, kind)]
        assert len(names) == len(set(names))


def test_every_counter_counts_somewhere_and_every_chain_is_reached() -> None:
    """No rule names what does not exist, and nothing is declared in vain."""
    for table in TABLES:
        rules = "\n".join(rule for chain in table.chains for rule in chain.rules)
        counted = set(re.findall(r"counter name (\S+)", rules))
        assert counted == {each.name for each in table.counters}
        assert set(re.findall(r"@(\S+)", rules)) == {each.name for each in table.sets}
        reached = set(re.findall(r"(?:goto|jump) ([\w-]+)", rules))
        if table.family == "inet":
            reached |= {"accepted", "refuse"}  # from generated rules
        assert reached == {each.name for each in table.chains if each.hook is None}


def test_every_hook_has_a_reason_and_an_accepting_policy() -> None:
    """volt drops what it decides to drop and nothing by default of a chain."""
    hooks = [chain.hook for table in TABLES for chain in table.chains if chain.hook is not None]
    assert all(hook.reason for hook in hooks)
    assert render.full([]).count("policy accept;") == len(hooks)


@pytest.mark.kernel
@given(steps=st.lists(changes, max_size=5))
@settings(max_examples=15, deadline=None)
def test_the_kernel_takes_every_step_and_ends_up_where_the_full_text_leads(
    lab: Lab, steps: list[Change]
) -> None:
    """Transaction after transaction, nothing is refused and nothing is left over."""
    snapshot = Snapshot()
    compiled = Compiled.of(snapshot)
    lab.run(lab.nft.run(render.full(compiled.elements())))
    for change in steps:
        snapshot = snapshot.apply(change)
        step = compiled.plan(snapshot, change)
        lab.run(lab.nft.run(render.delta(step.delta)))
        compiled.adopt(step)
    at_once = lab.run(scratch_listing(render.full(compiled.elements()), PLACES))
    assert [lab.run(lab.nft.listing(*place)) for place in PLACES] == at_once
    assert None not in at_once


@pytest.mark.kernel
def test_removal_succeeds_with_and_without_tables(lab: Lab) -> None:
    """And leaves nothing."""
    lab.load(SNAPSHOT)
    for _ in range(2):
        lab.run(lab.nft.run(render.removal()))
        assert lab.sh("host", "nft", "list", "tables") == ""
