"""Rules by shape decide as rules in order do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firewall.lab import SNAPSHOT
from tests.firewall.objects import forward, policy, rule
from tests.firewall.test_incremental import rules
from volt_agent.firewall.footprint import Footprint, footprint
from volt_agent.firewall.incremental import Compiled
from volt_agent.firewall.levels import Levels, levels_of
from volt_agent.firewall.shape import shape_of
from volt_agent.firewall.spelling import Spelling
from volt_agent.model.firewall import Rule
from volt_agent.model.snapshot import Change

SPELLING = Spelling(SNAPSHOT)


def levels(*rules: Rule) -> list[int]:
    made = levels_of(footprint(each, SPELLING) for each in rules)
    return [made[each.name] for each in rules]


def test_rules_that_agree_share_a_level() -> None:
    """However much they overlap: which of them drops a packet makes no difference."""
    assert levels(
        rule("a", 1, "drop", "any", "web"),
        rule("b", 2, "drop", "app", "web", "tcp 80"),
        rule("c", 3, "drop", "any", "any"),
    ) == [0, 0, 0]


def test_rules_that_have_no_packet_in_common_share_a_level() -> None:
    """Ten thousand of them cost a packet no more look-ups than one."""
    assert levels(
        rule("a", 1, "drop", "any", "web", "tcp 80"),
        rule("b", 2, "accept", "any", "app", "tcp 80"),
        rule("c", 3, "accept", "any", "web", "tcp 81"),
        rule("d", 4, "accept", "any", "web", "udp 80"),
        rule("e", 5, "accept", "any", "host", "tcp 80"),
    ) == [0, 0, 0, 0, 0]


def test_an_exception_comes_before_what_it_is_an_exception_to() -> None:
    """Each contradiction is one level."""
    assert levels(
        rule("a", 1, "accept", "app", "web", "tcp 22"),
        rule("b", 2, "drop", "any", "web", "tcp 22"),
        rule("c", 3, "accept", "any", "any"),
        rule("d", 4, "drop", "10.0.0.0/8", "default"),
    ) == [0, 1, 2, 3]


updates = st.lists(st.tuples(rules, st.booleans()), max_size=12)


@given(st.lists(updates, max_size=6))
@settings(deadline=None)
def test_levels_kept_up_to_date_are_those_of_a_fresh_start(
    steps: list[list[tuple[Rule, bool]]],
) -> None:
    """Whatever comes and goes in whatever order."""
    kept, present = Levels(), dict[str, Footprint]()
    for step in steps:
        changes: dict[str, Footprint | None] = {}
        for each, comes in step:
            changes[each.name] = footprint(each, SPELLING) if comes else None
        for name, after in changes.items():
            if after is None:
                present.pop(name, None)
            else:
                present[name] = after
        kept.adopt(kept.plan(changes))
        fresh = levels_of(present.values())
        assert {name: kept[name] for name in present} == {name: fresh[name] for name in present}


def test_ten_thousand_rules_need_a_handful_of_sets() -> None:
    """The chains grow with the kinds of rules."""
    many = [
        rule(f"r{n}", n, "drop", "web" if n % 2 else "any", f"10.0.{n % 200}.9", f"tcp {n + 1}")
        for n in range(2000)
    ]
    snapshot = SNAPSHOT.apply(
        Change(put=(*many, policy("p", "allow", "web", "app"), forward("tcp 80", "web", 80)))
    )
    compiled = Compiled.of(snapshot)
    assert sorted(compiled.generated_sets()) == [
        "policy-1-own-32-any-allow",
        "rule-0-any-32-port-drop",
        "rule-0-own-32-port-drop",
    ]


def test_every_name_of_a_generated_set_can_be_read_back() -> None:
    """The shape is all in the name."""
    for name in ("host-3-outside-host-block-accept", "rule-0-24-0-any-reject"):
        shape = shape_of(name)
        assert shape is not None
        assert shape.name == name
    assert shape_of("host-ports") is None
    assert shape_of("isolated-bridges") is None
