"""What names no address comes in around no policy and no rule, with real frames.

As in `test_guard`, a frame that is in order follows each one that is in question.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.firewall.frames import BROADCAST, IP, IP6, Wire, arp, ethernet, token, udp, udp6
from tests.firewall.lab import APP, DB, GUEST, GUEST_ADDRESS, SNAPSHOT, WEB, Lab, mac_of
from tests.firewall.objects import policy, rule
from volt_agent.model.firewall import Policy, Rule
from volt_agent.model.snapshot import Change
from volt_agent.model.workload import Port

pytestmark = pytest.mark.kernel

# None of them is the address of db, and each is received by a db that listens on all of its own:
# a bridge inside a workload (172.17.0.1) is as good an address as any (RFC 1122, 3.3.4.2).
AROUND = ("255.255.255.255", "10.0.0.255", "224.0.0.1", "239.1.2.3", "172.17.0.1")

CLOSED: dict[str, Policy | Rule] = {
    "isolated": policy("app-to-db", "allow", "app", "db", "tcp 5432"),
    "denied to web": policy("no-web", "deny", "web", "db"),
    "denied to its network": policy("no-net", "deny", "default", "db", "udp 5432"),
    "dropped by a rule": rule("drop", 1, "drop", "web", "db", "udp 5432"),
    "dropped for all": rule("drop", 1, "drop", "any", "db"),
    "rejected": rule("no", 1, "reject", "10.0.0.0/24", "db", "udp 5432"),
}
OPEN: dict[str, Policy | Rule] = {
    "nobody closes it": rule("open", 1, "accept", "any", "db"),
    "denied to another": policy("no-app", "deny", "app", "db"),
    "closed by TCP only, which knows no broadcast": policy("ssh", "deny", "web", "db", "tcp 22"),
    "closed to the outside": rule("out", 1, "drop", "outside", "db"),
    "only another is isolated": policy("to-app", "allow", "web", "app", "tcp 80"),
}


@pytest.fixture
def web(lab: Lab) -> Iterator[Wire]:
    with Wire(lab.path("web"), "eth0") as wire:
        yield wire


@pytest.fixture
def db(lab: Lab) -> Iterator[Wire]:
    with Wire(lab.path("db"), "eth0") as wire:
        yield wire


def datagram(to: str, data: bytes, mac: str = DB.mac) -> bytes:
    """From web, to the MAC of db whatever the address: so it gets there and nowhere else."""
    return ethernet(mac, WEB.mac, IP, udp("10.0.0.5", to, (40000, 5432), data))


def passes(web: Wire, db: Wire, frame: bytes, of: bytes) -> bool:
    """Whether `frame` arrives, which carries the token `of`; ARP arrives in any case."""
    web.send(frame)
    last = token()
    web.send(ethernet(BROADCAST, WEB.mac, 0x0806, _who_has_db(last)))
    return of in db.sees(last)


def _who_has_db(data: bytes) -> bytes:
    return arp(1, (WEB.mac, "10.0.0.5"), (BROADCAST, "10.0.0.10"), data)


def tagged(tags: list[tuple[int, int]], kind: int, payload: bytes) -> bytes:
    """A frame with VLAN tags: (type of tag, VLAN), the outer one first."""
    head = b"".join(struct.pack("!HH", *tag) for tag in tags)
    untagged = ethernet(DB.mac, WEB.mac, kind, payload)
    return untagged[:12] + head + untagged[12:]


@pytest.mark.parametrize("to", AROUND)
@pytest.mark.parametrize("name", CLOSED)
def test_nothing_gets_around_what_closes_a_workload(
    lab: Lab, web: Wire, db: Wire, name: str, to: str
) -> None:
    """A broadcast, a multicast or an address that only db knows reaches a closed db no more."""
    lab.load(SNAPSHOT.apply(Change(put=(DB, CLOSED[name]))))
    before, data = lab.drops()["not-addressed"], token()
    assert not passes(web, db, datagram(to, data), data)
    assert lab.drops()["not-addressed"] == before + 1


@pytest.mark.parametrize("to", AROUND)
@pytest.mark.parametrize("name", OPEN)
def test_others_hear_their_network(lab: Lab, web: Wire, db: Wire, name: str, to: str) -> None:
    """Whom nothing closes to web gets its broadcasts and multicasts as on any network."""
    lab.load(SNAPSHOT.apply(Change(put=(DB, OPEN[name]))))
    data = token()
    assert passes(web, db, datagram(to, data), data)


def test_what_a_policy_allows_still_arrives(lab: Lab, web: Wire, db: Wire) -> None:
    """A strict port gets what bears its address, and loses its strictness with the policy."""
    allowed = policy("web-to-db", "allow", "web", "db", "udp 5432")
    lab.load(SNAPSHOT.apply(Change(put=(DB, allowed))))
    first, second, third = token(), token(), token()
    assert passes(web, db, datagram("10.0.0.10", first), first)
    assert not passes(web, db, datagram("10.0.0.255", second), second)
    lab.remove(allowed)
    assert passes(web, db, datagram("10.0.0.255", third), third)


def test_a_foreign_port_is_strict_too(lab: Lab, web: Wire) -> None:
    """What volt did not attach itself is reached at its lease only, and before it not at all."""
    isolated = policy("app-to-guest", "allow", "app", "guest", "tcp 1")
    lab.load(SNAPSHOT.apply(Change(put=(isolated, replace(GUEST, mac=mac_of(GUEST_ADDRESS))))))
    with Wire(lab.path("guest"), "eth0") as guest:
        data = token()
        frame = datagram("255.255.255.255", data, mac_of(GUEST_ADDRESS))
        assert not passes(web, guest, frame, data)


@pytest.mark.parametrize(
    "tags",
    [[(0x8100, 0)], [(0x88A8, 0)], [(0x88A8, 0), (0x8100, 0)], [(0x8100, 0x6000)]],
    ids=["8021q", "8021ad", "both", "with a priority"],
)
@pytest.mark.parametrize("kind", [IP, IP6], ids=["IPv4", "IPv6"])
def test_vlan_0_hides_nothing(
    lab: Lab, web: Wire, db: Wire, tags: list[tuple[int, int]], kind: int
) -> None:
    """Its tag says no more than a priority: the receiver takes it off, policies never see it."""
    free = replace(WEB, port_security=False)
    lab.load(
        SNAPSHOT.apply(Change(put=(DB, free, policy("no-ssh", "deny", "web", "db", "tcp 22"))))
    )
    data, before = token(), lab.drops()["other-protocol"]
    ports = (40000, 5432)
    body = {
        IP: udp("10.0.0.5", "10.0.0.10", ports, data),
        IP6: udp6("fe80::5", "fe80::a", ports, data),
    }
    assert not passes(web, db, tagged(tags, kind, body[kind]), data)
    assert lab.drops()["other-protocol"] == before + 1


@pytest.mark.parametrize("secured", [True, False], ids=["guarded", "port security off"])
def test_who_was_disconnected_is_silent_at_once(
    lab: Lab, web: Wire, db: Wire, secured: bool
) -> None:
    """Its port is there for a moment more: nobody may use it to speak as somebody else."""
    connection = replace(WEB, port_security=secured)
    port = Port("default", "web", WEB.interface, ifindex=1, up=True)
    lab.load(SNAPSHOT.apply(Change(put=(DB, connection, port))))
    lab.remove(connection)
    before = lab.drops()["spoofed-mac"]
    for mac, address in ((WEB.mac, "10.0.0.5"), (APP.mac, "10.0.0.6"), (WEB.mac, "10.0.0.6")):
        web.send(ethernet(DB.mac, mac, IP, udp(address, "10.0.0.10", (1, 5432), token())))
    assert lab.drops()["spoofed-mac"] == before + 3
