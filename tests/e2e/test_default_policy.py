"""Every row of the default policy, by tcp, udp and ping, with real packets in both directions.

Three networks on one host (the third without NAT), and an outside host that knows where the
workloads live: what it cannot reach, it cannot reach because of the firewall.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.host import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, Host
from tests.support.process import wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

NETWORKS = {"volt0": ("web", "api"), "backend": ("db", "cache"), "internal": ("iso", "vault")}
GATEWAYS = {"volt0": "10.0.0.1", "backend": "10.30.0.1", "internal": "10.50.0.1"}
SERVED, SSH, ALLOWED = 80, 22, 8443
CONFIG = "network: {firewall: {host_allow: [ssh, 8443/tcp]}}"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """The host above, once the soft start of the firewall is over."""
    with Host(CONFIG) as host:
        host.start_agent()
        host.call("net.create", name="backend", subnet="10.30.0.0/24")
        host.call("net.create", name="internal", subnet="10.50.0.0/24", nat=False)
        for network, names in NETWORKS.items():
            host.connect(network, *names)
            for name in names:
                host.traffic.serve(name, tcp=[SERVED], udp=[SERVED, 68])
        host.traffic.serve("outside", tcp=[SERVED], udp=[SERVED])
        host.traffic.serve("outside", tcp=[SERVED], udp=[SERVED], ipv6=True)
        host.traffic.serve("host", tcp=[SERVED, SSH, ALLOWED], udp=[SERVED])
        host.traffic.serve("host", tcp=[SERVED, SSH, ALLOWED], udp=[SERVED], ipv6=True)
        wait_until(lambda: not is_settling(host), "the soft start is over")
        yield host


def is_settling(host: Host) -> bool:
    settling: bool = host.call("net.status")["firewall"]["settling"]
    return settling


class Row(NamedTuple):
    """Whether `source` may reach `target` (an address, or the name of a workload)."""

    source: str
    target: str
    open: bool
    protocols: tuple[str, ...] = ("tcp", "udp", "ping")
    port: int = SERVED


def rows() -> Iterator[Row]:
    """The table of the default policy, row by row."""
    yield from _to_the_host_from_outside()
    yield from _to_the_host_from_workloads()
    for network, names in NETWORKS.items():
        for name in names:
            yield Row("outside", name, False)  # from outside to workloads
            yield Row("host", name, True)  # from the host to workloads
            yield Row(name, OUTSIDE_ADDRESS, network != "internal")  # out
        yield Row(names[0], names[1], True)  # the same network
        yield Row(names[1], names[0], True)
        for other, others in NETWORKS.items():
            if other != network:
                yield Row(names[0], others[0], False)  # different networks


def _to_the_host_from_outside() -> Iterator[Row]:
    for host, outside in ((HOST_ADDRESS, OUTSIDE_ADDRESS), (HOST_ADDRESS6, OUTSIDE_ADDRESS6)):
        yield Row("outside", host, False)
        yield Row("outside", host, True, ("tcp",), SSH)
        yield Row("outside", host, True, ("tcp",), ALLOWED)
        yield Row("host", outside, True)  # the answers are established
        yield Row("host", host, True)  # loopback
    for gateway in GATEWAYS.values():
        yield Row("outside", gateway, False)


def _to_the_host_from_workloads() -> Iterator[Row]:
    for network, names in NETWORKS.items():
        own = GATEWAYS[network]
        yield Row(names[0], own, True, ("ping",))
        yield Row(names[0], own, False, ("tcp", "udp"))
        yield Row(names[0], own, False, ("tcp",), SSH)
        yield Row(names[0], own, False, ("tcp",), ALLOWED)
        yield Row(names[0], HOST_ADDRESS, False)
        for gateway in GATEWAYS.values():
            if gateway != own:
                yield Row(names[0], gateway, False)


def test_every_row_of_the_table_by_tcp_udp_and_ping(host: Host) -> None:
    """Open is answered; closed never arrives."""
    addresses = {name: host.address_of(name) for names in NETWORKS.values() for name in names}
    expected = {
        Attempt(row.source, addresses.get(row.target, row.target), protocol, row.port): row.open
        for row in rows()
        for protocol in row.protocols
    }
    outcomes = dict(zip(expected, host.traffic.probe(list(expected)), strict=True))
    wrong = [
        f"{attempt}: {'shut' if expected[attempt] else 'open'} although it must not be: {outcome}"
        for attempt, outcome in outcomes.items()
        if outcome.answered != expected[attempt] or (outcome.arrived and not expected[attempt])
    ]
    assert not wrong, "\n".join(wrong)
    masked = {
        outcome.seen_as
        for attempt, outcome in outcomes.items()
        if attempt.target == OUTSIDE_ADDRESS and outcome.arrived
    }
    assert masked == {HOST_ADDRESS}


def test_names_are_asked_of_the_own_gateway_only(host: Host) -> None:
    """DNS by udp and tcp: the own gateway answers, the others cannot be reached."""
    for network, (name, other) in NETWORKS.items():
        for protocol in ("udp", "tcp"):
            answer = host.traffic.query(name, GATEWAYS[network], other, protocol=protocol)
            assert [each["data"] for each in answer["records"]] == [host.address_of(other)]
        foreign = next(gateway for key, gateway in GATEWAYS.items() if key != network)
        assert not host.traffic.reaches(name, foreign, "tcp", 53)


def test_a_spoofed_source_address_is_dropped(host: Host) -> None:
    """A datagram that claims to be from a neighbour does not arrive."""
    api = host.address_of("api")
    honest, spoofed = "t-honest", "t-spoofed"
    received = host.start(*host.python("-c", _LISTEN, api), where="api", stdout=-1, stderr=None)
    assert received.stdout.readline() == "listening\n"
    host.run(*host.python("-c", _SPOOF, "10.0.0.99", api, spoofed), where="web")
    host.run(*host.python("-c", _SPOOF, host.address_of("web"), api, honest), where="web")
    assert received.stdout.readline() == f"{honest}\n"
    received.end()
    received.stdout.close()


_LISTEN = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[1], 9999))
    print("listening", flush=True)
    print(sock.recv(100).decode(), flush=True)
"""
# An IPv4 header (RFC 791) and a UDP header without checksum (RFC 768), sent as they are.
_SPOOF = """
import socket, struct, sys
source, target, text = sys.argv[1], sys.argv[2], sys.argv[3].encode()
udp = struct.pack("!HHHH", 9998, 9999, 8 + len(text), 0) + text
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                 socket.inet_aton(source), socket.inet_aton(target))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
    sock.sendto(ip + udp, (target, 0))
"""


def test_a_spoofed_mac_address_is_dropped(host: Host) -> None:
    """A frame with another source MAC than the workload's own does not arrive."""
    macs = {
        name: host.run("cat", "/sys/class/net/eth0/address", where=name).stdout.strip()
        for name in ("web", "api")
    }
    known = host.call("net.status")["firewall"]["drops"]["spoofed-mac"]
    for source in ("02:00:00:00:00:99", macs["web"]):
        host.run(*host.python("-c", _FRAME, source, macs["api"]), where="web")
    assert host.call("net.status")["firewall"]["drops"]["spoofed-mac"] == known + 1


# An Ethernet frame with an ARP request (RFC 826) from 0.0.0.0, sent as it is.
_FRAME = """
import socket, struct, sys
source, target = (bytes.fromhex(each.replace(":", "")) for each in sys.argv[1:])
arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, source, bytes(4), bytes(6), bytes(4))
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    sock.send(target + source + struct.pack("!H", 0x0806) + arp)
"""


def test_a_rogue_dhcp_server_is_dropped(host: Host) -> None:
    """A workload cannot answer as a DHCP server, while any other port of its reaches port 68."""
    api = host.address_of("api")
    rogue, other = host.traffic.probe(
        [Attempt("web", api, "udp", 68, source_port=67), Attempt("web", api, "udp", 68)]
    )
    assert (rogue.arrived, other.arrived) == (False, True)


def test_workloads_have_no_ipv6_for_now(host: Host) -> None:
    """Not even with addresses that they gave themselves."""
    for number, name in enumerate(("web", "api"), start=2):
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0", where=name)
        host.run("ip", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad", where=name)
        host.traffic.serve(name, tcp=[81], udp=[81], ipv6=True)
    attempts = [Attempt("web", "fd00::3", protocol, 81) for protocol in ("tcp", "udp", "ping")]
    found = host.traffic.probe(attempts)
    assert not any(each.answered or each.arrived for each in found)
