"""Changes cut what they no longer allow, at once, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.firewall.lab import DB, SNAPSHOT, WEB, Lab
from tests.firewall.objects import forward, policy, rule
from tests.support.namespaces import network_namespace, socket_in
from volt_agent.firewall.revoke import Survivors, revoked
from volt_agent.kernel.conntrack import Tracked, forget
from volt_agent.model.snapshot import Change, Object, Snapshot

pytestmark = pytest.mark.kernel

HOST = IPv4Address("192.0.2.1")
# Seconds: what is alive answers in 1 ms, what is cut is sent again after 0.2 s and then 0.4 s.
GUARD, PATIENT = 0.7, 3.0


@pytest.fixture(scope="module")
def bed() -> Iterator[Lab]:
    bed = Lab()
    yield bed
    bed.close()


class Line:
    """A TCP connection of which the test has both ends."""

    def __init__(self, bed: Lab, source: str, target: str, port: int, behind: tuple[str, int]):
        """From `source` to `target`, where the workload and port `behind` answer."""
        where, its_port = behind
        with socket_in(bed.path(where), socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", its_port))
            listener.listen()
            listener.settimeout(PATIENT)
            self.client = socket_in(bed.path(source), socket.AF_INET, socket.SOCK_STREAM)
            self.client.settimeout(PATIENT)
            self.client.connect((target, port))
            self.server, _address = listener.accept()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client.close()
        self.server.close()

    def lives(self, sender: str) -> bool:
        """Whether what one end sends comes to the other, before TCP would send it twice more."""
        ends = (self.server, self.client) if sender == "server" else (self.client, self.server)
        ends[1].settimeout(GUARD)
        try:
            ends[0].sendall(b"x")
            return ends[1].recv(100) != b""
        except OSError:
            return False


def commit(bed: Lab, *put: Object, delete: tuple[Object, ...] = ()) -> int:
    """A change and what follows it in the agent; how many connections were cut."""
    old = bed.snapshot
    change = Change(put=put, delete=delete)
    bed.snapshot = old.apply(change)
    bed.run(bed.firewall.apply(bed.snapshot, change))
    flows = revoked(old, bed.snapshot, change)
    if not flows:
        return 0
    with network_namespace(Path(bed.path("host"))):
        return forget(flows, Survivors(old, bed.snapshot, [HOST]).spare)


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
