"""What is asked for by command is in force when the command returns, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import HOST_ADDRESS, OUTSIDE_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

NAMES = ("web-frontend", "app-server", "db-primary")


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """Three containers on backend that serve tcp 5432 and 80, and an outside host."""
    with Host() as host:
        host.start_agent()
        host.call("net.create", name="backend", subnet="10.30.0.0/24")
        host.connect("backend", *NAMES)
        for name in NAMES:
            host.traffic.serve(name, tcp=[80, 5432])
        host.traffic.serve("host", tcp=[9000])
        wait_until(lambda: not is_settling(host), "the soft start is over")
        yield host


def is_settling(host: Host) -> bool:
    settling: bool = host.call("net.status")["firewall"]["settling"]
    return settling


def open_ways(host: Host, *ways: str) -> list[str]:
    """Of `ways` ("FROM TO PORT"), those that answer a tcp connection; the model must agree."""
    attempts, allowed = [], []
    for way in ways:
        source, target, port = way.split()
        address = host.address_of(target) if target in NAMES else target
        attempts.append(Attempt(source, address, "tcp", int(port)))
        asked = host.call("net.policy.test", to=target, port=port, **{"from": source})
        allowed.append(asked["verdict"] == "ALLOWED")
    answered = [each.answered for each in host.traffic.probe(attempts)]
    assert answered == allowed, list(zip(ways, answered, allowed, strict=True))
    return [way for way, is_open in zip(ways, answered, strict=True) if is_open]


def test_a_policy_isolates(site: Host) -> None:
    """Only app-server reaches db-primary, on port 5432 only; without the policy all do."""
    ways = [f"{source} db-primary {port}" for source in NAMES[:2] for port in (80, 5432)]
    assert open_ways(site, *ways) == ways
    site.call(
        "net.policy.create",
        name="app-to-db",
        to="db-primary",
        port="5432",
        action="allow",
        **{"from": "app-server"},
    )
    assert open_ways(site, *ways, "host db-primary 80") == [
        "app-server db-primary 5432",
        "host db-primary 80",
    ]
    (policy,) = site.call("net.policy.list")
    assert policy["packets"] >= 1
    site.call("net.policy.delete", name="app-to-db")
    assert open_ways(site, *ways) == ways


def test_a_forward_leads_in_and_a_rule_limits_it(site: Host) -> None:
    """From outside to a port of the host; `--source` of a rule says who may not."""
    way = f"outside {HOST_ADDRESS} 8080"
    assert open_ways(site, way) == []
    site.call("net.port.add", host_port=8080, target="web-frontend", target_port=80)
    assert open_ways(site, way) == [way]
    site.call(
        "net.firewall.add",
        name="not-them",
        source=OUTSIDE_ADDRESS,
        dest="web-frontend",
        port=80,
        action="drop",
    )
    (outcome,) = site.traffic.probe([Attempt("outside", HOST_ADDRESS, "tcp", 8080)])
    assert not outcome.answered
    rule = site.call("net.firewall.list")[0]
    assert (rule["name"], rule["packets"] >= 1, rule["bytes"] >= 40) == ("not-them", True, True)
    site.call("net.firewall.flush")
    assert open_ways(site, way) == [way]
    site.volt("net", "port", "delete", "--host-port", "8080")
    assert open_ways(site, way) == []


def test_a_rule_opens_the_host(site: Host) -> None:
    """Until it is rolled back, because nobody confirms it."""
    way = f"outside {HOST_ADDRESS} 9000"
    assert open_ways(site, way) == []
    site.call(
        "net.firewall.add",
        name="office",
        source="outside",
        dest="host",
        port=9000,
        action="accept",
        confirm="6s",
    )
    assert open_ways(site, way) == [way]
    wait_until(lambda: site.events("rules.rolled-back"), "it is rolled back")
    assert open_ways(site, way) == []
