"""Which policies are accepted, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.build import site, with_policy
from volt_agent.errors import Invalid, NotFound, Refused, VoltError
from volt_agent.model.firewall import Peer
from volt_agent.rules.policy import create_policy, delete_policy


def create(**how: Any) -> Any:
    wanted = {"name": "x", "source": "web", "target": "db", "action": "allow"} | how
    return create_policy(site(), **wanted)


def test_workloads_and_networks() -> None:
    """Both can be either end; ports alone mean tcp."""
    (policy,) = create(source="frontend", target="db", ports="5432").put
    assert (policy.source, policy.target) == (Peer("network", "frontend"), Peer("workload", "db"))
    assert (policy.protocol, [*map(str, policy.ports)]) == ("tcp", ["5432"])


@pytest.mark.parametrize(
    ("how", "error", "mentions"),
    [
        ({"name": "no way"}, Invalid, "no way"),
        ({"source": "host"}, Invalid, "firewall add"),
        ({"source": "outside"}, Invalid, "firewall add"),
        ({"target": "any"}, Invalid, "any"),
        ({"target": "10.30.0.20"}, Invalid, "10.30.0.20"),
        ({"target": "dbb"}, NotFound, "did you mean db?"),
        ({"ports": "80", "protocol": "icmp"}, Invalid, "icmp"),
    ],
)
def test_policies_that_are_not_accepted(
    how: dict[str, str], error: type[VoltError], mentions: str
) -> None:
    """One clear line each."""
    with pytest.raises(error) as caught:
        create(**how)
    assert mentions in f"{caught.value.message} {caught.value.hint}"


def test_the_same_again_changes_nothing() -> None:
    """Something else under the name is refused, with the difference in the command's words."""
    snapshot = with_policy(site(), "x")
    assert create_policy(snapshot, "x", "web", "db", "allow", "80").is_empty
    with pytest.raises(Refused, match="policy x exists with to db, not api"):
        create_policy(snapshot, "x", "web", "api", "allow", "80")


@pytest.mark.parametrize(
    ("source", "target", "action", "needs"),
    [
        ("web", "db", "deny", True),
        ("web", "backend", "deny", True),
        ("frontend", "api", "deny", True),
        ("frontend", "db", "deny", False),
        ("idle", "db", "deny", False),
        ("frontend", "db", "allow", True),
    ],
)
def test_a_kernel_that_does_not_show_bridged_frames(
    source: str, target: str, action: Any, needs: bool
) -> None:
    """What needs them is refused; an allow policy does, since it isolates from the neighbours."""

    def change() -> Any:
        return create_policy(site(), "x", source, target, action, enforces_within_bridge=False)

    if needs:
        with pytest.raises(Refused, match="ports of one bridge"):
            change()
    else:
        assert change().put


def test_delete() -> None:
    """Gone, or not found with a hint."""
    snapshot = with_policy(site(), "app-to-db")
    assert not snapshot.apply(delete_policy(snapshot, "app-to-db")).policies
    with pytest.raises(NotFound) as caught:
        delete_policy(snapshot, "app-to-bd")
    assert caught.value.hint == "did you mean app-to-db?"
