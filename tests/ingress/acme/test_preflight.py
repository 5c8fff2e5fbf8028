"""What is found before an order is spent."""

from __future__ import annotations

import pytest

from tests.firewall.lab import SNAPSHOT
from tests.firewall.objects import forward, rule
from volt_agent.ingress.acme.outlook import closed_by, own_addresses
from volt_agent.ingress.acme.preflight import Caa, Door, Names, check, check_caa, climb, warnings
from volt_agent.model.host import HostPolicy, HostPort
from volt_agent.model.snapshot import Change, Object

HOST, HERE = "app.example.com", "192.0.2.1"
FOUND = Names(True, (HERE,))
ACCOUNT = "https://ca.example/me"


@pytest.mark.parametrize(
    ("host", "door", "names", "kind", "said"),
    [
        (HOST, Door(80), FOUND, None, ""),
        (HOST, Door(80), Names(addresses=None), None, ""),
        (HOST, Door(8080), FOUND, None, ""),
        (HOST, Door(80), Names(False, ()), "dns", "public DNS has no app.example.com"),
        (HOST, Door(80), Names(True, ()), "dns", "no address"),
        (HOST, Door(80, "port 80: nginx has it"), FOUND, "port", "nginx"),
        ("*.example.com", Door(80), FOUND, "dns", "wildcards"),
    ],
)
def test_what_blocks(host: str, door: Door, names: Names, kind: str | None, said: str) -> None:
    """What a CA would refuse for certain; never what may be meant so."""
    problem = check(host, door, names)
    assert (problem.kind if problem else None) == kind
    assert problem is None or (problem.is_preflight and said in problem.reason)


CAA = {
    "nobody said anything": ((), True),
    "this CA": ((Caa(0, "issue", "ca.example"),), True),
    "this CA in other letters": ((Caa(0, "ISSUE", " CA.example. ; a=b"),), True),
    "one of several": ((Caa(0, "issue", "other.example"), Caa(0, "issue", "ca.example")), True),
    "another CA": ((Caa(0, "issue", "other.example"),), False),
    "nobody": ((Caa(0, "issue", ";"),), False),
    "only about wildcards": ((Caa(0, "issuewild", ";"),), True),
    "only mail": ((Caa(0, "iodef", "mailto:a@example.com"),), True),
    "something strange": ((Caa(0, "future", "x"),), True),
    "something strange and critical": ((Caa(128, "future", "x"),), False),
    "critical but known": ((Caa(128, "issue", "ca.example"),), True),
    "by this method": ((Caa(0, "issue", "ca.example; validationmethods=dns-01,http-01"),), True),
    "by another method": ((Caa(0, "issue", "ca.example; validationmethods=dns-01"),), False),
    "for this account": ((Caa(0, "issue", f"ca.example; accounturi={ACCOUNT}"),), True),
    "for another account": ((Caa(0, "issue", "ca.example; accounturi=https://x"),), False),
}


@pytest.mark.parametrize("name", CAA)
def test_caa_records(name: str) -> None:
    """RFC 8659 and 8657, for a CA that goes by `ca.example`."""
    records, may = CAA[name]
    problem = check_caa(Names(True, (HERE,), records, "example.com"), ("ca.example",), ACCOUNT)
    assert (problem is None) == may
    assert problem is None or "example.com" in problem.reason


def test_a_ca_without_a_name_is_not_held_back() -> None:
    """Private CAs do not say how they go in CAA records; but nobody is nobody."""
    assert check_caa(Names(caa=(Caa(0, "issue", "x.example"),)), (), ACCOUNT) is None
    assert check_caa(Names(caa=(Caa(0, "issue", ";"),)), (), ACCOUNT) is not None


def test_caa_records_are_looked_for_upwards() -> None:
    """RFC 8659, section 3."""
    assert climb("a.b.example.com") == ["a.b.example.com", "b.example.com", "example.com", "com"]


@pytest.mark.parametrize(
    ("door", "names", "own", "said"),
    [
        (Door(80), FOUND, (HERE,), None),
        (Door(80), FOUND, (), "no address of this host"),
        (Door(8080), FOUND, (HERE,), "8080"),
        (Door(80), Names(addresses=None), (), "was not checked"),
        (Door(80), Names(True, (HERE,), None), (HERE,), "was not checked"),
    ],
)
def test_what_is_only_a_warning(
    door: Door, names: Names, own: tuple[str, ...], said: str | None
) -> None:
    """NAT, a load balancer, a resolver that fails: an order is made all the same."""
    assert check(HOST, door, names) is None
    found = warnings(HOST, door, names, own)
    assert (said is None and not found) or (said is not None and said in found[0])


OPEN = HostPolicy(ports=(HostPort("tcp", 80, 80), HostPort("tcp", 8080, 8080)))


@pytest.mark.parametrize(
    ("port", "objects", "said"),
    [
        (80, (OPEN,), None),
        (80, (HostPolicy("allow"),), None),
        (80, (HostPolicy(),), "port 80 is closed"),
        (80, (OPEN, rule("no-web", 1, "drop", "any", "host", "tcp 80")), "no-web"),
        (80, (OPEN, rule("no-ssh", 1, "drop", "any", "host", "tcp 22")), None),
        (8080, (OPEN, forward("tcp 80", "web", 8000)), "web:8000"),
        (8080, (OPEN, forward("tcp 80", "web", 8000, HERE)), "web:8000"),
        (8080, (OPEN, forward("tcp 81", "web", 8000)), None),
    ],
)
def test_what_closes_the_door(port: int, objects: tuple[Object, ...], said: str | None) -> None:
    """Volt's own rules and forwards, as the firewall has them."""
    found = closed_by(SNAPSHOT.apply(Change(put=objects)), port, [HERE])
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")


def test_own_addresses() -> None:
    """Those that somebody here could listen at."""
    assert own_addresses(["127.0.0.1", "192.0.2.77"]) == {"127.0.0.1"}
