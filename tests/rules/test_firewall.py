"""Which rules are accepted, what they become, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import site, with_rule
from volt_agent.errors import Invalid, NotFound, Refused, VoltError
from volt_agent.model.firewall import Peer
from volt_agent.rules.firewall import add_rule, chain_of, delete_rule, flush_rules, in_order


def add(**how: Any) -> Any:
    wanted = {"name": "x", "source": "any", "dest": "web", "action": "accept"} | how
    return add_rule(site(), **wanted)


@pytest.mark.parametrize(
    ("text", "peer", "shown"),
    [
        ("any", Peer("any"), "any"),
        ("10.30.0.10", Peer("range", "10.30.0.10/32"), "10.30.0.10"),
        ("10.30.0.0/24", Peer("range", "10.30.0.0/24"), "10.30.0.0/24"),
        ("0.0.0.0/0", Peer("range", "0.0.0.0/0"), "0.0.0.0/0"),
        ("web", Peer("workload", "web"), "web"),
        ("idle", Peer("workload", "idle"), "idle"),
        ("backend", Peer("network", "backend"), "backend"),
    ],
)
def test_the_ends_of_a_rule(text: str, peer: Peer, shown: str) -> None:
    """Words, addresses, names; a workload on no network is one like any other."""
    (rule,) = add(source=text, dest=text).put
    assert (rule.source, rule.dest, str(rule.source)) == (peer, peer, shown)


def test_words_of_one_side_only() -> None:
    """outside can only be a source, host only a destination, and the chain follows from it."""
    (rule,) = add(source="outside", dest="host").put
    assert (rule.source.kind, rule.dest.kind, chain_of(rule)) == ("outside", "host", "volt-input")
    (rule,) = add(dest="any").put
    assert chain_of(rule) == "volt-forward"


@pytest.mark.parametrize(
    ("ports", "protocol", "becomes"),
    [
        (None, None, ("any", "any")),
        ("80", None, ("tcp", "80")),
        ("443,80", "tcp", ("tcp", "80,443")),
        ("8000-8010,8005-8020", "udp", ("udp", "8000-8020")),
        (None, "icmp", ("icmp", "any")),
        (None, "udp", ("udp", "any")),
    ],
)
def test_ports_and_protocols(
    ports: str | None, protocol: str | None, becomes: tuple[str, str]
) -> None:
    """Ports alone mean tcp; they are sorted and merged."""
    (rule,) = add(ports=ports, protocol=protocol).put
    assert (rule.protocol, ",".join(map(str, rule.ports)) or "any") == becomes


@pytest.mark.parametrize(
    ("how", "error", "mentions"),
    [
        ({"name": "UPPER"}, Invalid, "UPPER"),
        ({"name": "builtin:x"}, Invalid, "builtin:x"),
        ({"source": "host"}, Refused, "may always reach"),
        ({"dest": "outside"}, Invalid, "0.0.0.0/0"),
        ({"dest": "10.30.0.1"}, Refused, "gateway of backend"),
        ({"dest": "10.30.0.10/24"}, Invalid, "10.30.0.0/24"),
        ({"dest": "10.30.0.300"}, Invalid, "10.30.0.300"),
        ({"source": "fd00::1"}, Invalid, "IPv6"),
        ({"source": "fd00::/64"}, Invalid, "IPv6"),
        ({"source": "wep"}, NotFound, "did you mean web?"),
        ({"dest": "nothing-like-it"}, NotFound, "known: api, backend"),
        ({"dest": "with space"}, Invalid, "with space"),
        ({"ports": "0"}, Invalid, "'0'"),
        ({"ports": "65536"}, Invalid, "65536"),
        ({"ports": "80,"}, Invalid, "not a port"),
        ({"ports": "90-80"}, Invalid, "80-90"),
        ({"ports": "80", "protocol": "icmp"}, Invalid, "icmp has no ports"),
        ({"ports": "80", "protocol": "any"}, Invalid, "--proto tcp"),
    ],
)
def test_rules_that_are_not_accepted(
    how: dict[str, str], error: type[VoltError], mentions: str
) -> None:
    """One clear line each."""
    with pytest.raises(error) as caught:
        add(**how)
    assert mentions in f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["fwd", "ip", "policy", "drop", "any", "host", "0", "a" * 63])
def test_names_that_mean_something_elsewhere(name: str) -> None:
    """A keyword of nft is a name like any other."""
    assert add(name=name).put[0].name == name


def test_the_same_again_changes_nothing() -> None:
    """However it is written; something else under the name is refused, with the difference."""
    snapshot = with_rule(site(), "x", ports="80,443")
    assert add_rule(snapshot, "x", "any", "web", "accept", "443,80-80", "tcp").is_empty
    with pytest.raises(Refused, match="rule x exists with action accept, not drop"):
        add_rule(snapshot, "x", "any", "web", "drop", "80,443")


def test_rules_are_asked_in_the_order_of_their_creation() -> None:
    """Also after one in the middle was deleted."""
    snapshot = site()
    for name in ("c", "a", "b"):
        snapshot = with_rule(snapshot, name)
    snapshot = snapshot.apply(delete_rule(snapshot, "a"))
    snapshot = with_rule(snapshot, "a")
    assert [each.name for each in in_order(snapshot.rules.values())] == ["c", "b", "a"]


def test_flush_and_delete() -> None:
    """Flush takes all, and nothing of nothing; delete says what was perhaps meant."""
    snapshot = with_rule(with_rule(site(), "allow-http"), "other")
    assert not snapshot.apply(flush_rules(snapshot)).rules
    assert flush_rules(site()).is_empty
    with pytest.raises(NotFound) as caught:
        delete_rule(snapshot, "allow-htp")
    assert caught.value.hint == "did you mean allow-http?"


@given(source=st.text(max_size=30), dest=st.text(max_size=30), ports=st.text(max_size=12))
def test_any_text_is_taken_or_refused(source: str, dest: str, ports: str) -> None:
    """Nothing but a Change or a VoltError of one line comes out, whatever goes in."""
    said = ""
    try:
        assert len(add_rule(site(), "x", source, dest, "drop", ports).put) == 1
    except VoltError as error:
        said = f"{error.message}{error.hint}"
    assert "\n" not in said
