"""What a message leads to, row by row, and what that changes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from volt_agent.dhcp.clients import Client, Places, client_at, relayed_client
from volt_agent.dhcp.leases import (
    Decline,
    End,
    Exhausted,
    Grant,
    Inform,
    Offer,
    Outcome,
    Refuse,
    Silence,
    decide,
    end,
    grant,
)
from volt_agent.dhcp.limits import BURST, Limiter
from volt_agent.dhcp.message import Kind, Message
from volt_agent.dhcp.options import Option
from volt_agent.dhcp.pool import DECLINED_REST, DECLINES_MAX, OFFER_HOLD, Pool
from volt_agent.errors import Refused
from volt_agent.model.lease import Lease
from volt_agent.model.network import Connection, Network, Reservation
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Port
from volt_agent.networks.allocate import check_address, choose_address
from volt_agent.networks.decide import delete_network


def ip(last: int) -> IPv4Address:
    return IPv4Address("10.30.0.0") + last


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


NETWORK = Network("backend", "volt-backend", IPv4Network("10.30.0.0/28"), ip(1), 1500)
WEB = Port("backend", "web", "vb-web", ifindex=7, up=True, made=False)
DB = Port("backend", "db", "vt-db", ifindex=8, up=True, address=ip(5), mac=mac(5))
DB_CONNECTION = Connection("backend", "db", "vm", ip(5), mac(5), "vt-db", 0)
SNAPSHOT = Snapshot().apply(Change(put=(NETWORK, WEB, DB_CONNECTION, DB)))
NEW = Client(NETWORK, "web", mac(7), WEB)
CONNECTED = Client(NETWORK, "db", mac(5), DB)
NOBODY = IPv4Address(0)


def with_put(*objects: Object) -> Snapshot:
    return SNAPSHOT.apply(Change(put=objects))


def lease_of(name: str, last: int, **changes: Any) -> Lease:
    lease = Lease("backend", name, ip(last), mac(7), expires=100.0, ifindex=7)
    return replace(lease, **changes)


LEASED = SNAPSHOT.apply(grant(SNAPSHOT, NEW, ip(3), 100.0))


def message(kind: Kind, requested: int = 0, server: int = 0, ciaddr: int = 0) -> Message:
    options: dict[int, bytes] = {}
    if requested:
        options[Option.REQUESTED_ADDRESS] = ip(requested).packed
    if server:
        options[Option.SERVER_ID] = ip(server).packed
    return Message(
        kind=kind, xid=1, mac=mac(7), options=options, ciaddr=ip(ciaddr) if ciaddr else NOBODY
    )


D, R = Kind.DISCOVER, Kind.REQUEST
# client, what it knows of us, message, source, outcome
ROWS: list[tuple[Client, Snapshot, Message, IPv4Address, Outcome]] = [
    (NEW, SNAPSHOT, message(D), NOBODY, Offer(ip(2))),
    (NEW, SNAPSHOT, message(D, requested=9), NOBODY, Offer(ip(9))),
    (NEW, SNAPSHOT, message(D, requested=5), NOBODY, Offer(ip(2))),
    (NEW, SNAPSHOT, message(D, requested=1), NOBODY, Offer(ip(2))),
    (NEW, SNAPSHOT, message(D, requested=15), NOBODY, Offer(ip(2))),
    (NEW, LEASED, message(D, requested=9), NOBODY, Offer(ip(3))),
    (CONNECTED, SNAPSHOT, message(D, requested=9), NOBODY, Offer(ip(5))),
    (CONNECTED, SNAPSHOT, message(R, requested=5, server=1), NOBODY, Grant(ip(5))),
    (CONNECTED, SNAPSHOT, message(R, requested=9), NOBODY, Refuse("10.30.0.9 is not yours")),
    (NEW, SNAPSHOT, message(R, requested=9), NOBODY, Refuse("10.30.0.9 is not yours")),
    (NEW, SNAPSHOT, message(R, requested=99), NOBODY, Refuse("10.30.0.99 is not of this network")),
    (NEW, SNAPSHOT, message(R), NOBODY, Silence()),
    (NEW, LEASED, message(R, requested=3, server=4), NOBODY, Silence()),
    (NEW, LEASED, message(R, requested=3, server=1), NOBODY, Grant(ip(3))),
    (NEW, LEASED, message(R, requested=3), NOBODY, Grant(ip(3))),
    (NEW, LEASED, message(R, ciaddr=3), ip(3), Grant(ip(3))),
    (NEW, LEASED, message(R, ciaddr=4), ip(4), Refuse("10.30.0.4 is not yours")),
    (NEW, LEASED, message(Kind.RELEASE, ciaddr=3), ip(3), End(LEASED.leases["backend/web"])),
    (NEW, LEASED, message(Kind.RELEASE, ciaddr=3), NOBODY, Silence()),
    (NEW, LEASED, message(Kind.RELEASE, ciaddr=5), ip(5), Silence()),
    (NEW, SNAPSHOT, message(Kind.RELEASE, ciaddr=3), ip(3), Silence()),
    (NEW, LEASED, message(Kind.DECLINE, requested=3), NOBODY, Decline(ip(3))),
    (NEW, LEASED, message(Kind.DECLINE, requested=5), NOBODY, Silence()),
    (NEW, LEASED, message(Kind.DECLINE), NOBODY, Silence()),
    (NEW, LEASED, message(Kind.INFORM, ciaddr=3), ip(3), Inform()),
    (NEW, LEASED, message(Kind.INFORM, ciaddr=5), ip(5), Silence()),
    (CONNECTED, SNAPSHOT, message(Kind.INFORM, ciaddr=5), ip(5), Inform()),
    (NEW, SNAPSHOT, message(Kind.ACK), NOBODY, Silence()),
]


@pytest.mark.parametrize(("client", "snapshot", "asked", "source", "outcome"), ROWS)
def test_rows(
    client: Client, snapshot: Snapshot, asked: Message, source: IPv4Address, outcome: Outcome
) -> None:
    """RFC 2131, section 4.3, with volt as the only server there is."""
    assert decide(asked, source, client, snapshot, Pool(), 0.0) == outcome


# ---- the pool -----------------------------------------------------------------------------------


def test_an_offer_is_held_for_a_while() -> None:
    """Nobody else is offered the address meanwhile; then it is free."""
    pool, other = Pool(), replace(NEW, workload="other")
    pool.offer(NEW, ip(2), 0.0)
    assert pool.choose(SNAPSHOT, other, ip(2), 1.0) == ip(3)
    assert decide(message(R, requested=2), NOBODY, NEW, SNAPSHOT, pool, 1.0) == Grant(ip(2))
    assert pool.choose(SNAPSHOT, other, ip(2), OFFER_HOLD + 1) == ip(2)


def test_a_declined_address_rests() -> None:
    """Even if it was the client's own; and a client can decline so many only."""
    pool = Pool()
    for number in range(DECLINES_MAX):
        assert pool.decline(NEW, ip(2 + number), 0.0)
    assert not pool.decline(NEW, ip(10), 0.0)
    assert pool.choose(LEASED, NEW, None, 1.0) == ip(6)
    assert pool.choose(LEASED, NEW, None, DECLINED_REST + 1) == ip(3)


def test_a_full_network_takes_what_was_kept_longest() -> None:
    """But nothing that was given back a moment ago."""
    kept = [
        Reservation("backend", f"gone{number}", ip(number), mac(number), released=100.0 + number)
        for number in range(2, 15)
        if number != 5
    ]
    full = with_put(*kept)
    assert Pool().choose(full, NEW, None, 120.0) is None
    assert decide(message(D), NOBODY, NEW, full, Pool(), 120.0) == Exhausted()
    assert Pool().choose(full, NEW, None, 200.0) == ip(2)
    back = replace(NEW, workload="gone9")
    assert Pool().choose(full, back, None, 120.0) == ip(9)


def test_clients_behind_a_port_leave_room_for_others() -> None:
    """Seven eighths of a subnet at most."""
    snapshot, pool, given = SNAPSHOT, Pool(), 0
    while True:
        client = Client(NETWORK, f"c{given}", mac(100 + given), DB, behind="db")
        address = pool.choose(snapshot, client, None, 0.0)
        if address is None:
            break
        snapshot = snapshot.apply(grant(snapshot, client, address, 100.0))
        given += 1
    assert given == 11
    assert pool.choose(snapshot, NEW, None, 0.0) is not None


# ---- changes ------------------------------------------------------------------------------------


def test_a_grant_binds_a_foreign_port() -> None:
    """One change: the lease, the port with MAC and address, and no reservation left."""
    kept = Reservation("backend", "web", ip(3), mac(9), released=1.0)
    before = with_put(kept)
    after = before.apply(grant(before, NEW, ip(3), 100.0))
    assert after.ports["backend/web"] == replace(WEB, mac=mac(7), address=ip(3))
    assert after.leases["backend/web"] == lease_of("web", 3)
    assert not after.reservations
    assert grant(after, NEW, ip(3), 200.0).is_empty


def test_a_port_that_volt_made_stays_as_it_is() -> None:
    """It is bound by its connection."""
    change = grant(SNAPSHOT, CONNECTED, ip(5), 100.0)
    assert [type(each) for each in change.put] == [Lease]


@pytest.mark.parametrize(
    ("snapshot", "client", "last"),
    [
        (SNAPSHOT, NEW, 5),
        (SNAPSHOT, CONNECTED, 6),
        (SNAPSHOT.apply(Change(delete=(WEB,))), NEW, 3),
        (with_put(replace(WEB, ifindex=9)), NEW, 3),
        (with_put(lease_of("other", 3)), NEW, 3),
    ],
    ids=["taken", "not the connection's", "port gone", "another port", "leased"],
)
def test_what_changed_meanwhile_is_refused(snapshot: Snapshot, client: Client, last: int) -> None:
    """Between offer and request anything may happen."""
    with pytest.raises(Refused):
        grant(snapshot, client, ip(last), 100.0)


def test_the_end_of_a_lease() -> None:
    """The port learns anew and the address is kept; of a declined one nothing is."""
    lease = LEASED.leases["backend/web"]
    after = LEASED.apply(end(LEASED, lease, 50.0))
    assert after.ports["backend/web"] == WEB
    assert after.reservations["backend/web"].address == ip(3)
    assert not after.leases
    assert not LEASED.apply(end(LEASED, lease, 50.0, keep=False)).reservations
    assert end(after, lease, 60.0).is_empty


# ---- the address table --------------------------------------------------------------------------


def test_a_leased_address_is_taken() -> None:
    """For others; the workload itself may be connected with it, and is by default."""
    with pytest.raises(Refused, match=r"address 10\.30\.0\.3 is leased to web"):
        check_address(LEASED, NETWORK, "api", "10.30.0.3")
    assert check_address(LEASED, NETWORK, "web", "10.30.0.3") == ip(3)
    assert choose_address(LEASED, NETWORK, "web") == ip(3)
    assert choose_address(LEASED, NETWORK, "api") == ip(2)


def test_leases_go_with_their_network() -> None:
    """As far as nobody is on it any more."""
    alone = Snapshot().apply(Change(put=(NETWORK, lease_of("web", 3))))
    assert not alone.apply(delete_network(alone, "backend", "volt0")).leases


@given(st.lists(st.sampled_from(["port", "lease", "kept"]), max_size=8))
def test_an_address_is_owned_as_long_as_anything_has_it(steps: list[str]) -> None:
    """Whatever comes and goes in which order."""
    objects: dict[str, Object] = {
        "port": replace(WEB, address=ip(3), mac=mac(7)),
        "lease": lease_of("web", 3),
        "kept": replace(DB_CONNECTION, workload="web", address=ip(3)),
    }
    snapshot, there = Snapshot().apply(Change(put=(NETWORK,))), set[str]()
    for step in steps:
        each = objects[step]
        change = Change(delete=(each,)) if step in there else Change(put=(each,))
        there ^= {step}
        snapshot = snapshot.apply(change)
        assert (ip(3) in snapshot.owners) == bool(there)


# ---- who asks -----------------------------------------------------------------------------------


def test_a_bound_port_has_one_client() -> None:
    """Without port security it has any number, which get no name."""
    bound = replace(WEB, mac=mac(7))
    assert client_at(SNAPSHOT, NETWORK, bound, mac(7)) == replace(NEW, port=bound)
    assert client_at(SNAPSHOT, NETWORK, bound, mac(8)) is None
    lifted = with_put(replace(NETWORK, port_security=False))
    nested = client_at(lifted, NETWORK, bound, mac(8))
    assert nested is not None
    assert (nested.workload, nested.behind) == ("02-00-00-00-00-08", "web")


def test_a_relay_is_a_workload_without_port_security() -> None:
    """Of this network, at the address that it says."""
    lifted = with_put(replace(DB_CONNECTION, port_security=False))
    assert relayed_client(SNAPSHOT, NETWORK, DB, ip(5), mac(9)) is None
    for relay in (ip(1), ip(99)):
        assert relayed_client(lifted, NETWORK, DB, relay, mac(9)) is None
    with_neighbour = lifted.apply(grant(lifted, NEW, ip(6), 1.0))
    assert relayed_client(with_neighbour, NETWORK, DB, ip(6), mac(9)) is None
    found = relayed_client(lifted, NETWORK, DB, ip(5), mac(9))
    assert found is not None
    assert found.behind == "db"


def test_places_follow_the_ports() -> None:
    """By MAC and by index; what is gone is not found."""
    places = Places()
    places.start(SNAPSHOT)
    assert places.with_mac("backend", mac(5)) == DB
    assert places.with_index(7) == WEB
    change = grant(SNAPSHOT, NEW, ip(3), 100.0)
    after = SNAPSHOT.apply(change)
    places.follow(SNAPSHOT, after, change)
    assert places.with_mac("backend", mac(7)) == after.ports["backend/web"]
    gone = Change(delete=(after.ports["backend/web"],))
    places.follow(after, after.apply(gone), gone)
    assert places.with_mac("backend", mac(7)) is None
    assert places.with_index(7) is None


def test_a_port_that_asks_too_often_has_to_wait() -> None:
    """And others need not."""
    limiter = Limiter()
    allowed = sum(limiter.allows("backend/web", False, 0.0) for _ in range(1000))
    assert allowed == BURST
    assert limiter.allows("backend/db", False, 0.0)
    assert limiter.allows("backend/web", False, 1.0)
