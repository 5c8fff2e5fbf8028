"""A forwarded workload stops and starts again and again, each time with another address."""

from __future__ import annotations

import json

import pytest

from tests.support.host import HOST_ADDRESS, Host
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel

HOST_PORT, PORT = 5300, 53
ADDRESSES = [f"10.0.0.{last}" for last in range(100, 200)]
RATE = 200  # datagrams per second, always from the same port: a stale entry would catch them
CUT_WITHIN = 5.0  # seconds, a guard; a revoked connection is cut within 100 ms

# What leaves for an address that is nobody's any more. Behind everything of volt's.
_BOOKS = """
table inet books {
	set old { type ipv4_addr; }
	counter stale { }
	chain gone {
		type filter hook postrouting priority 400
		ip daddr @old counter name stale
	}
}
"""


@pytest.mark.parametrize(
    "rounds", [50, pytest.param(1000, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_nothing_reaches_the_old_address(host: Host, rounds: int) -> None:
    """In every round the new one answers, by udp and tcp; from then on the old one gets nothing.

    Before that, a connection that is being cut may have a packet under way: these are counted too.
    """
    host.start_agent()
    host.connect("volt0", "target")
    for protocol in ("udp", "tcp"):
        forward = {"host_port": HOST_PORT, "target": "target", "target_port": PORT}
        host.call("net.port.add", proto=protocol, **forward)
    host.run("nft", "-f", "-", input=_BOOKS)
    stream = host.traffic.start_stream(
        "udp", source="outside", target=HOST_ADDRESS, port=HOST_PORT, rate=RATE
    )
    under_way, before = [], _stale(host)
    for number in range(rounds):
        address = ADDRESSES[number % len(ADDRESSES)]
        _move(host, address)
        host.traffic.await_progress([stream])
        answered = _stale(host)
        under_way.append(answered - before)
        tried = host.traffic.probe([Attempt("outside", HOST_ADDRESS, "tcp", HOST_PORT)], 5)
        assert tried[0].answered, f"round {number}: {address} does not answer by tcp"
        host.traffic.await_progress([stream])
        before = _stale(host)
        assert before == answered, f"round {number}: something went where {address} was not"
    print(f"{rounds} rounds: {sum(under_way)} packets under way to the old address when it went")
    assert max(under_way) <= RATE * CUT_WITHIN
    assert host.traffic.stop_stream(stream)["wrong"] == 0


def _move(host: Host, address: str) -> None:
    """Stop the target, and start it with another address."""
    host.remove_workload("target")
    host.call("net.disconnect", workload="target")
    old = ", ".join(each for each in ADDRESSES if each != address)
    host.run("nft", f"flush set inet books old; add element inet books old {{ {old} }}")
    host.call("net.connect", network="volt0", workload="target", ip=address)
    host.add_workload("target")
    host.traffic.serve("target", tcp=[PORT], udp=[PORT])


def _stale(host: Host) -> int:
    listing = json.loads(host.run("nft", "-j", "list", "counter", "inet", "books", "stale").stdout)
    return sum(each["counter"]["packets"] for each in listing["nftables"] if "counter" in each)
