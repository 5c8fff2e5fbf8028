"""A network or workload stays as long as somebody names it."""

from __future__ import annotations

import pytest

from tests.rules.build import site, with_forward, with_policy, with_rule
from volt_agent.errors import Refused
from volt_agent.rules.confirm import guarded
from volt_agent.rules.firewall import flush_rules
from volt_agent.rules.users import check_unnamed


def test_named_by_a_rule() -> None:
    """On either side; also by one that waits to be rolled back."""
    for how in ({"source": "frontend"}, {"dest": "frontend"}):
        snapshot = with_rule(site(), "x", **how)
        check_unnamed(snapshot, "network", "backend")
        flushed = snapshot.apply(guarded(snapshot, flush_rules(snapshot), "x", 30, 0.0))
        for each in (snapshot, flushed):
            with pytest.raises(Refused, match="network frontend is named by rule x"):
                check_unnamed(each, "network", "frontend")


def test_named_by_a_policy() -> None:
    """On either side; a workload on the network is no name of it."""
    snapshot = with_policy(site(), "x", "backend", "api")
    check_unnamed(snapshot, "network", "frontend")
    with pytest.raises(Refused, match="named by policy x"):
        check_unnamed(snapshot, "network", "backend")


def test_a_workload_named_by_a_forward() -> None:
    """The hint is the command that deletes it."""
    snapshot = with_forward(site(), "8080-8081", "192.0.2.1")
    check_unnamed(snapshot, "workload", "db")
    with pytest.raises(Refused, match="workload web is named by the forward of") as refused:
        check_unnamed(snapshot, "workload", "web")
    assert refused.value.hint == (
        "volt net port delete --host-port 8080-8081 --proto tcp --host-ip 192.0.2.1"
    )
