"""The server in the agent, on real bridges, asked by hand."""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address

import pytest

from tests.support.host import Host
from tests.support.process import wait_until
from volt_agent.dhcp import frames
from volt_agent.dhcp.message import Kind
from volt_agent.dhcp.options import Option, search_list

from .conftest import leases, plug_in
from .guests import Client, Guest, client_in
from .test_message import mutations

pytestmark = pytest.mark.kernel

GATEWAY = IPv4Address("10.30.0.1")


def metric(host: Host, kind: str) -> float:
    text = host.get("/metrics")[1]
    found = re.search(rf'^volt_dhcp_total{{kind="{kind}"}} (\S+)', text, re.MULTILINE)
    assert found is not None, kind
    return float(found[1])


def address_of(host: Host, name: str) -> str:
    places = next(each for each in host.call("ps") if each["name"] == name)["networks"]
    return str(places[0]["ip"])


# ---- what a client gets -------------------------------------------------------------------------


def test_a_connected_machine_gets_its_own_address(lan: Host) -> None:
    """The one that volt told its user, at once and whatever it asks for."""
    with plug_in(lan, "backend", "static", "--ip", "10.30.0.77") as client:
        offer = client.ask(
            Kind.DISCOVER, {Option.REQUESTED_ADDRESS: IPv4Address("10.30.0.99").packed}
        )
        assert str(offer.yiaddr) == "10.30.0.77"
        assert client.select(offer).kind == Kind.ACK
        assert leases(lan)["static"] == "10.30.0.77"


def test_leases_are_listed(lan: Host, machine: Client) -> None:
    """With the keys that users script against."""
    address = machine.lease().yiaddr
    row = next(each for each in lan.volt_json("net", "lease", "list") if each["ip"] == str(address))
    assert {"ip", "mac", "name", "network", "expires"} <= row.keys()
    assert (row["mac"], row["network"]) == (machine.mac, "backend")
    left = datetime.fromisoformat(row["expires"]).timestamp() - time.time()
    assert 60 < left <= 121
    head, *rows = lan.volt("net", "lease", "list").stdout.splitlines()
    assert head.split() == ["IP", "MAC", "NAME", "NETWORK", "EXPIRES"]
    assert any(line.split()[:2] == [str(address), machine.mac] for line in rows)


def test_an_acknowledgement_has_what_a_client_needs(machine: Client) -> None:
    """RFC 2131, table 3: the server, the times, the network, the names."""
    ack = machine.lease(options={Option.CLIENT_ID: b"\1abcdef"})
    values = ack.options
    assert ack.kind == Kind.ACK
    assert (ack.server, ack.siaddr) == (GATEWAY, GATEWAY)
    times = [
        int.from_bytes(values[each])
        for each in (Option.RENEWAL_TIME, Option.REBINDING_TIME, Option.LEASE_TIME)
    ]
    assert times == [60, 105, 120]
    assert values[Option.SUBNET_MASK] == bytes([255, 255, 255, 0])
    assert values[Option.ROUTER] == values[Option.DNS] == GATEWAY.packed
    assert values[Option.BROADCAST] == IPv4Address("10.30.0.255").packed
    assert int.from_bytes(values[Option.MTU]) == 1500
    assert values[Option.HOST_NAME].startswith(b"m")
    assert values[Option.DOMAIN_NAME] == b"volt.local"
    assert values[Option.DOMAIN_SEARCH] == search_list(["volt.local", "example.org"])


def test_identifier_comes_back(machine: Client) -> None:
    """RFC 6842."""
    offer = machine.ask(Kind.DISCOVER, {Option.CLIENT_ID: b"\1abcdef"})
    assert offer.options[Option.CLIENT_ID] == b"\1abcdef"


def test_no_way_out_of_a_network_without_nat(lan: Host) -> None:
    """No router, so no default route; names and the network's MTU all the same."""
    with plug_in(lan, "internal", "inner") as client:
        values = client.lease().options
    assert Option.ROUTER not in values
    assert values[Option.DNS] == IPv4Address("10.50.0.1").packed
    assert int.from_bytes(values[Option.MTU]) == 1400


def test_a_foreign_port_is_bound_by_its_first_lease(lan: Host, guest: Guest) -> None:
    """Address, name and firewall follow; the client's own idea of its name counts for nothing."""
    with guest.client() as client:
        assert client.lease(options={Option.HOST_NAME: b"static"}).kind == Kind.ACK
        address = leases(lan)[guest.name]
        assert address_of(lan, guest.name) == address
        lan.traffic.await_name("host", "10.30.0.1", f"{guest.name}.volt.local", address)
        guest.run("ip", "address", "add", f"{address}/24", "dev", "host0")
        guest.run("ping", "-c1", "-w30", "-i0.2", "10.30.0.1")
        guest.run("ip", "address", "add", "10.30.0.200/24", "dev", "host0")
        forged = guest.run("ping", "-c1", "-W1", "-I", "10.30.0.200", "10.30.0.1", check=False)
        assert forged.returncode == 1
        given = [each for each in lan.events("lease.given") if each["workload"] == guest.name]
        assert [each["address"] for each in given] == [address]


def test_a_reply_goes_where_the_client_listens(machine: Client) -> None:
    """To all if it asks for that, else to its own MAC (RFC 2131, section 4.1)."""
    assert machine.ask(Kind.DISCOVER, broadcast=True).broadcast
    assert not machine.ask(Kind.DISCOVER).broadcast


# ---- the life of a lease ------------------------------------------------------------------------


def test_renew_and_rebind(machine: Client) -> None:
    """From its address to the gateway, or to all, without options that name the address."""
    address = machine.lease().yiaddr
    for target in (GATEWAY, IPv4Address("255.255.255.255")):
        ack = machine.ask(Kind.REQUEST, source=address, target=target, ciaddr=address)
        assert (ack.kind, ack.ciaddr, ack.yiaddr) == (Kind.ACK, address, address)


def test_reboot_with_a_remembered_address(machine: Client) -> None:
    """Its own is acknowledged; another one, or one of another network, is refused at once."""
    address = machine.lease().yiaddr
    for asked, reply in (
        (address, Kind.ACK),
        (IPv4Address("10.30.0.250"), Kind.NAK),
        (IPv4Address("192.168.7.7"), Kind.NAK),
    ):
        assert machine.ask(Kind.REQUEST, {Option.REQUESTED_ADDRESS: asked.packed}).kind == reply


def test_a_request_to_another_server_is_none_of_ours(machine: Client) -> None:
    """The client has chosen somebody else's offer."""
    offer = machine.ask(Kind.DISCOVER)
    other = IPv4Address("10.30.0.66")
    assert machine.is_ignored(
        Kind.REQUEST,
        {Option.REQUESTED_ADDRESS: offer.yiaddr.packed, Option.SERVER_ID: other.packed},
    )


def test_inform(machine: Client) -> None:
    """Options without address and times, for the address that it has (section 4.3.5)."""
    address = machine.lease().yiaddr
    ack = machine.ask(Kind.INFORM, source=address, ciaddr=address)
    assert (ack.kind, ack.yiaddr) == (Kind.ACK, IPv4Address(0))
    assert Option.LEASE_TIME not in ack.options
    assert Option.DNS in ack.options


def test_release_and_return(lan: Host, guest: Guest) -> None:
    """The name goes with the lease, the address is kept for a return."""
    with guest.client() as client:
        address = client.lease().yiaddr
        client.send(Kind.RELEASE, source=address, target=GATEWAY, ciaddr=address)
        wait_until(lambda: guest.name not in leases(lan), "the lease ended")
        lan.traffic.await_name("host", "10.30.0.1", f"{guest.name}.volt.local", None)
        assert client.lease().yiaddr == address


def test_a_declined_address_is_not_offered_again(lan: Host, guest: Guest) -> None:
    """The client gets another one, and so often only: declining must not eat up the pool."""
    with guest.client() as client:
        seen = set()
        for _ in range(7):
            address = client.lease().yiaddr
            seen.add(address)
            client.send(
                Kind.DECLINE,
                {
                    Option.REQUESTED_ADDRESS: address.packed,
                    Option.SERVER_ID: GATEWAY.packed,
                },
            )
    assert len(seen) == 5


def test_nobody_ends_the_lease_of_another(lan: Host, guest: Guest, machine: Client) -> None:
    """Not by its hardware address in the message, not by its address."""
    address = machine.lease().yiaddr
    with guest.client() as liar:
        liar.lease()
        before = leases(lan)
        options: dict[int, bytes] = {
            Option.REQUESTED_ADDRESS: address.packed,
            Option.SERVER_ID: GATEWAY.packed,
        }
        liar.send(Kind.DECLINE, options, mac=machine.mac)
        liar.send(Kind.RELEASE, source=address, ciaddr=address, mac=machine.mac)
        assert liar.is_ignored(Kind.RELEASE, ciaddr=address)
        assert leases(lan) == before


def test_a_port_that_goes_takes_its_lease_along(lan: Host) -> None:
    """And its name; the address is kept for the name's next life."""
    first = Guest(lan, "phoenix", "volt-backend")
    with first.client() as client:
        address = client.lease().yiaddr
    first.leave()
    wait_until(lambda: "phoenix" not in leases(lan), "the lease ended")
    second = Guest(lan, "phoenix", "volt-backend")
    with second.client() as client:
        assert client.lease().yiaddr == address
    second.leave()


# ---- limits -------------------------------------------------------------------------------------


def test_one_port_gets_one_address(lan: Host, guest: Guest) -> None:
    """However many MACs it invents: others go on getting theirs."""
    client = guest.client()
    for number in range(10_000):
        client.mac = f"0a:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        client.send(Kind.DISCOVER)
    other = Guest(lan, "modest", "volt-backend")
    with other.client() as modest:
        assert modest.lease_in_the_end().kind == Kind.ACK
    other.leave()
    with client:
        assert client.lease_in_the_end().kind == Kind.ACK
    assert sum(name == guest.name for name in leases(lan)) == 1


def test_a_full_network_is_silent_and_says_so_once(lan: Host) -> None:
    """RFC 2131, section 4.3.1. A client that gives its address back makes room."""
    guests = [Guest(lan, f"small{number}", "volt-small") for number in range(6)]
    clients = [each.client() for each in guests]
    for client in clients[:5]:
        assert client.lease().kind == Kind.ACK
    before = metric(lan, "exhausted")
    for number in range(1, 4):
        clients[5].send(Kind.DISCOVER)
        full = partial(lambda wanted: metric(lan, "exhausted") == wanted, before + number)
        wait_until(full, "the network is full")
    assert lan.agent_log().count("no address of 10.40.0.0/29 is left for small5") == 1
    for client, each in zip(clients, guests, strict=True):
        client.__exit__()
        each.leave()


def test_a_static_address_inside_a_lease_is_refused(lan: Host, guest: Guest) -> None:
    """In one line that names who has it."""
    with guest.client() as client:
        address = client.lease().yiaddr
    done = lan.volt("net", "connect", "backend", "newcomer", "--ip", str(address), check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: address {address} is leased to {guest.name}"


# ---- without port security ----------------------------------------------------------------------


def test_clients_behind_a_port_have_leases_without_names(lan: Host) -> None:
    """Nested machines, and those of a relay agent, which gets the replies at its own address."""
    lan.connect("open", "relay")
    relay = IPv4Address(lan.address_of("relay"))
    with client_in(lan, "relay", "0a:00:00:00:00:01") as nested:
        assert nested.lease().kind == Kind.ACK
    with client_in(lan, "relay") as agent:
        ack = agent.lease(
            mac="0a:00:00:00:00:02", giaddr=relay, hops=1, source=relay, ports=(67, 67)
        )
        assert (ack.kind, ack.giaddr) == (Kind.ACK, relay)
        assert Option.HOST_NAME not in ack.options
    found = leases(lan, "open")
    assert {"0a:00:00:00:00:01", "0a:00:00:00:00:02"} <= found.keys()


def test_an_address_that_somebody_uses_is_not_offered(lan: Host) -> None:
    """Found out by ARP, where ports are not bound to their addresses."""
    lan.connect("open", "squatter")
    next_free = "10.60.0.60"
    lan.run("ip", "address", "add", f"{next_free}/24", "dev", "eth0", where="squatter")
    guest = Guest(lan, "asker", "volt-open")
    asked = {Option.REQUESTED_ADDRESS: IPv4Address(next_free).packed}
    with guest.client() as client:
        with pytest.raises(TimeoutError):
            client.ask(Kind.DISCOVER, asked, within=0.5)
        assert str(client.ask(Kind.DISCOVER, asked).yiaddr) != next_free
    guest.leave()


def test_a_relay_needs_port_security_off(lan: Host, machine: Client) -> None:
    """Otherwise any workload could ask for any number of addresses."""
    address = machine.lease().yiaddr
    before = leases(lan)
    machine.send(
        Kind.DISCOVER, mac="0a:00:00:00:00:03", giaddr=address, source=address, ports=(68, 67)
    )
    assert machine.is_ignored(Kind.DISCOVER, giaddr=address, source=address)
    assert leases(lan) == before


# ---- garbage ------------------------------------------------------------------------------------


def flood(host: Host, client: Client, count: int) -> None:
    before = leases(host)
    for data in mutations(count, seed=2):
        client.send_raw(_frame(client.mac, data))
    assert client.lease_in_the_end(20).kind == Kind.ACK
    assert {**leases(host), **before} == leases(host)
    assert len(leases(host)) <= len(before) + 1


def _frame(mac: str, data: bytes) -> bytes:
    everybody, nobody = IPv4Address("255.255.255.255"), IPv4Address(0)
    return frames.write(frames.Datagram(mac, frames.EVERYBODY, nobody, everybody, 68, 67, data))


def test_garbage_gets_no_lease(lan: Host, machine: Client) -> None:
    """3,000 mutated messages: no crash, no lease given away."""
    flood(lan, machine, 3_000)


@pytest.mark.long
def test_much_garbage_gets_no_lease(lan: Host, machine: Client) -> None:
    """100,000 mutated messages, and the agent's memory stays flat."""
    assert lan.agent is not None
    flood(lan, machine, 5_000)
    before = lan.agent.resident_bytes()
    flood(lan, machine, 100_000)
    assert lan.agent.resident_bytes() - before < 2**21


# ---- a restart ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_leases_survive_the_agent(lan: Host, guest: Guest, how: signal.Signals) -> None:
    """What was acknowledged is there after a crash: lease, binding, name; nobody else gets it."""
    with guest.client() as client:
        address = client.lease().yiaddr
        guest.run("ip", "address", "add", f"{address}/24", "dev", "host0")
        rows = lan.call("net.lease.list")
        lan.stop_agent(how)
        lan.start_agent()
        assert lan.call("net.lease.list") == rows
        assert address_of(lan, guest.name) == str(address)
        guest.run("ping", "-c1", "-w30", "-i0.2", "10.30.0.1")
        renewed = client.ask(Kind.REQUEST, source=address, target=GATEWAY, ciaddr=address)
        assert renewed.kind == Kind.ACK
