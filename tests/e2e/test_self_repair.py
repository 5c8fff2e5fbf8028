"""Whatever somebody breaks by hand is right again at once, and said."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import make_pair
from tests.support.host import Host
from tests.support.kernel_objects import shape
from tests.support.namespaces import socket_in
from tests.support.process import PATIENCE, wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

_TCP = (socket.AF_INET, socket.SOCK_STREAM)

DAMAGE = {
    "bridge deleted": "ip link delete volt-backend",
    "bridge down": "ip link set volt-backend down",
    "everything flushed": "nft flush ruleset",
    "table deleted": "nft delete table inet volt",
    "bridge table deleted": "nft delete table bridge volt",
    "rule inserted": "nft insert rule inet volt volt-forward drop",
    "port unplugged": "ip link set vc-web nomaster",
    "port down": "ip link set vc-web down",
    "no hairpin any more": "bridge link set dev vc-web hairpin off",
    "netfilter off": "ip link set volt-backend type bridge nf_call_iptables 0",
    "port renamed": "ip link set vc-web name eth7",
    "bridge renamed": "ip link set volt-backend name br7",
    "port deleted": "ip link delete vc-web",
    "gateway address removed": "ip address delete 10.30.0.1/24 dev volt-backend",
    "forwarding switched off": "sysctl -qw net.ipv4.ip_forward=0",
    "address inside removed": "ip -n web address flush dev eth0",
    "default route inside removed": "ip -n web route delete default",
    "link inside down": "ip -n web link set eth0 down",
    "mtu changed": "ip link set volt-backend mtu 1400",
}


@pytest.fixture(scope="module")
def lasting() -> Iterator[Host]:
    """One host for all damages: each test leaves it whole, or fails."""
    with Host() as host:
        host.start_agent()
        make_pair(host)
        yield host


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_by_hand_is_repaired(lasting: Host, damage: str) -> None:
    """Within a second everything is as before, packets flow, and an event says what was done."""
    pair = lasting
    address = pair.address_of("db")
    before = shape(pair)
    known = len(pair.events())
    began = time.monotonic()
    pair.run(*damage.split())
    wait_until(lambda: shape(pair) == before, f"repaired: {damage}")
    print(f"{damage}: right again after at most {(time.monotonic() - began) * 1000:.0f} ms")
    pair.traffic.await_answer(Attempt("web", address, "udp", 80))
    pair.traffic.await_answer(Attempt("host", address, "tcp", 80))
    pair.traffic.await_name("web", "10.30.0.1", "db", address)
    assert "repaired" in [each["event"] for each in pair.events()[known:]], pair.agent_log()


def test_a_foreign_table_is_left_alone(pair: Host) -> None:
    """What is not volt's is neither repaired nor removed."""
    pair.run("nft", "-f", "-", input="table inet mine {\n chain c {\n counter\n }\n}\n")
    pair.run("ip", "link", "add", "br0", "type", "bridge")
    pair.run("nft", "delete", "table", "inet", "volt")
    wait_until(
        lambda: "table inet volt" in pair.run("nft", "list", "ruleset").stdout,
        "the ruleset is back",
    )
    assert "table inet mine" in pair.run("nft", "list", "ruleset").stdout
    assert "br0" in pair.run("ip", "link").stdout


def test_reset_removes_everything_volt_made_and_nothing_else(pair: Host) -> None:
    """Links, rules and files are gone; what others made stays; the store stays without --purge."""
    pair.run("ip", "link", "add", "br0", "type", "bridge")
    pair.run("nft", "add", "table", "inet", "mine")
    pair.volt("agent", "reset")
    if pair.agent is not None and pair.agent.poll() is None:
        pair.stop_agent()
    links = pair.run("ip", "-brief", "link").stdout
    assert "volt" not in links
    assert "vc-" not in links
    assert "br0" in links
    assert pair.run("nft", "list", "ruleset").stdout.split() == [
        "table", "inet", "mine", "{", "}",
    ]  # fmt: skip
    assert pair.run("ls", "-A", "/etc/netns").stdout == ""
    pair.start_agent()
    assert {each["name"] for each in pair.volt_json("net", "list")} == {"volt0", "backend"}


def test_what_begins_while_the_firewall_is_away_ends_with_its_return(pair: Host) -> None:
    """Somebody flushes volt's rules, while rules of his own keep track of connections."""
    pair.connect("backend", "app")
    policy = ["--from", "app", "--to", "db", "--port", "80", "--action", "allow"]
    pair.volt("net", "policy", "create", "--name", "app-to-db", *policy)
    db = pair.address_of("db")
    # While the first ruleset settles, running connections are learnt: one that was cut as well, if
    # its other end goes on.
    wait_until(lambda: not _is_settling(pair), "it has settled")
    assert pair.agent is not None
    pair.agent.send(signal.SIGSTOP)
    try:
        pair.run("nft", "-f", "-", input=_ANOTHER_FIREWALL)
        with _connected(pair, "web", db) as uninvited, _connected(pair, "app", db) as welcome:
            wait_until(lambda: _is_answered(uninvited), "it is answered")
            pair.agent.send(signal.SIGCONT)
            wait_until(lambda: not _is_answered(uninvited), "it is cut")
            wait_until(lambda: _is_answered(welcome), "the other one is not")
    finally:
        pair.agent.send(signal.SIGCONT)
        pair.agent.entering.send_signal(signal.SIGCONT)  # nsenter stops with its command


_ANOTHER_FIREWALL = """\
flush ruleset
table inet other {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ct state established accept
    }
}
"""


def _is_settling(host: Host) -> bool:
    return bool(host.call("net.status")["firewall"]["settling"])


def _connected(host: Host, source: str, address: str) -> socket.socket:
    connection = socket_in(f"/proc/{host.pid}/root/run/netns/{source}", *_TCP)
    connection.settimeout(PATIENCE)
    connection.connect((address, 80))
    return connection


def _is_answered(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        connection.send(b"?\n")
        return connection.recv(100) != b""
    except TimeoutError:
        return False
