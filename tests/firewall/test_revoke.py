"""Changes cut what they no longer allow, at once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from tests.firewall.lab import DB, SNAPSHOT, WEB, Lab
from tests.firewall.lines import HOST, Line, commit
from tests.firewall.objects import forward, policy, rule
from volt_agent.firewall.revoke import Survivors, revoked
from volt_agent.kernel.conntrack import Tracked
from volt_agent.model.snapshot import Change, Object, Snapshot

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bed() -> Iterator[Lab]:
    bed = Lab()
    yield bed
    bed.close()


RULE = rule("stop", 9, "drop", "app", "web", "tcp 80")
ALLOW = policy("allow", "allow", "app", "web", "tcp 80")
OPEN = rule("open", 1, "accept", "cache", "web", "tcp 80")
FORWARD = forward("tcp 8000", "web", 80)

CASES: dict[str, tuple[tuple[Object, ...], tuple[str, str, int], Change]] = {
    "a rule that drops": ((), ("app", "10.0.0.5", 80), Change(put=(RULE,))),
    "a rule that rejects": (
        (),
        ("app", "10.0.0.5", 80),
        Change(put=(replace(RULE, action="reject"),)),
    ),
    "an accept that goes": ((OPEN,), ("cache", "10.0.0.5", 80), Change(delete=(OPEN,))),
    "a policy that denies": (
        (),
        ("app", "10.0.0.5", 80),
        Change(put=(replace(ALLOW, action="deny"),)),
    ),
    "the first policy on a target": (
        (),
        ("db", "10.0.0.5", 80),
        Change(put=(ALLOW,)),
    ),
    "one of two policies that goes": (
        (ALLOW, policy("more", "allow", "db", "web", "tcp 80")),
        ("app", "10.0.0.5", 80),
        Change(delete=(ALLOW,)),
    ),
    "a forward that goes": ((FORWARD,), ("outside", str(HOST), 8000), Change(delete=(FORWARD,))),
    "a forward to somebody else": (
        (FORWARD,),
        ("outside", str(HOST), 8000),
        Change(put=(replace(FORWARD, target="app"),)),
    ),
    "a target that moves": (
        (FORWARD,),
        ("outside", str(HOST), 8000),
        Change(put=(replace(WEB, address=IPv4Address("10.0.0.55")),)),
    ),
    "a rule behind a forward": (
        (FORWARD,),
        ("outside", str(HOST), 8000),
        Change(put=(rule("r", 9, "drop", "outside", "web", "tcp 80"),)),
    ),
}


@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_revoked_is_cut(bed: Lab, name: str, sender: str) -> None:
    """Whoever is sending; a connection beside it lives on."""
    present, (source, target, port), change = CASES[name]
    bed.load(SNAPSHOT.apply(Change(put=(DB, *present))))
    with (
        Line(bed, source, target, port, ("web", 80)) as line,
        Line(bed, "app", "10.0.0.10", 81, ("db", 81)) as beside,
    ):
        assert line.lives(sender)
        assert commit(bed, *change.put, delete=change.delete) == 1
        assert not line.lives(sender)
        assert beside.lives(sender)


@pytest.mark.parametrize(
    "put",
    [
        rule("other", 1, "drop", "any", "web", "tcp 81"),
        rule("after", 2, "drop", "app", "app", "any"),
        rule("more", 2, "accept", "outside", "web", "tcp 80"),
        policy("other", "deny", "cache", "web"),
        ALLOW,
        forward("tcp 80", "web", 81),
    ],
    ids=lambda each: f"{type(each).__name__} {each.key}",
)
def test_what_is_still_allowed_lives_on(bed: Lab, put: Object) -> None:
    """A change about the same workload spares what it does not deny."""
    bed.load(SNAPSHOT.apply(Change(put=(DB,))))
    with Line(bed, "app", "10.0.0.5", 80, ("web", 80)) as line:
        assert line.lives("client")
        assert commit(bed, put) == 0
        assert line.lives("client")


def test_what_was_not_let_in_by_the_model_before_is_not_cut_by_it() -> None:
    """A connection that is older than the ruleset, or comes by an open interface."""
    change = Change(put=(rule("no-8001", 1, "drop", "outside", "host", "tcp 8001"),))
    survivors = Survivors(SNAPSHOT, SNAPSHOT.apply(change), [HOST])
    outside = IPv4Address("192.0.2.2")
    assert survivors.spare(Tracked(outside, HOST, 6, 9999, HOST, 9999))
    assert not survivors.spare(Tracked(outside, HOST, 6, 8001, HOST, 8001))
    assert survivors.spare(Tracked(HOST, outside, 6, 443, outside, 443))


def test_most_changes_concern_no_connection() -> None:
    """A start or a rule that accepts asks for no walk through the table."""
    new = rule("more", 1, "accept", "any", "web")
    change = Change(put=(new,))
    assert revoked(SNAPSHOT, SNAPSHOT.apply(change), change) == []
    assert revoked(Snapshot(), SNAPSHOT, Change(put=(*SNAPSHOT.networks.values(), WEB))) == []
